package config

import "time"

// setDefaults fills in what a file may leave out, before it is read; the zero value is the default of all else.
// Listener.IdleTimeout depends on the protocol and comes later: see idleTimeout.
func setDefaults(v any) {
	switch v := v.(type) {
	case *Config:
		v.Upgrade = Upgrade{
			ReadyTimeout:   time.Minute,
			Probation:      time.Second,
			DrainTimeout:   30 * time.Second,
			MaxGenerations: 8,
			Preflight:      true,
		}
		v.Log = Log{Level: "info", Format: "text"}
		v.Maintenance = Maintenance{RetryAfter: 30 * time.Second, HealthCode: 503}
		v.TicketKeys = TicketKeys{Lifetime: 12 * time.Hour, Keep: 4}
	case *Listener:
		v.PeekTimeout = 5 * time.Second
		v.HTTP = HTTPOptions{ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 65536}
	case *TLS:
		v.MinVersion = "1.2"
		v.Interval = 10 * time.Second
	case *ProxyProtocol:
		v.Timeout = 5 * time.Second
	case *Upstream:
		v.Balance = RoundRobin
		v.Protocol = "http1"
		v.Ejection = Ejection{Failures: 5, Duration: 10 * time.Second}
		v.ConnectTimeout = 5 * time.Second
		v.ResponseTimeout = time.Minute
		v.MaxIdle = 64
		v.Retries = 1
	case *Health:
		v.Interval = 5 * time.Second
		v.Timeout = 2 * time.Second
		v.Fall = 3
		v.Rise = 2
	}
}

// idleTimeout is a listener's where none was written. Clients of HTTP expect to be closed (nginx after 75 s, Go's
// transport after 90 s by itself), and it must be longer than theirs. A pool of database connections expects not to
// be: nginx's 10 minutes and HAProxy's customary one cut such pools, so that an hour only collects the forgotten.
func idleTimeout(p Protocol) time.Duration {
	if p == HTTP {
		return 2 * time.Minute
	}
	return time.Hour
}
