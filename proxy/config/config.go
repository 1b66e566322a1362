package config

import (
	"net/netip"
	"time"
)

//go:generate go test -run TestSchemaIsWhatTheTypesSay -update

// Config is the whole file.
type Config struct {
	PIDFile     string              `yaml:"pid_file"` // path of the file that names the process in charge; empty for none
	Admin       Admin               `yaml:"admin"`
	Upgrade     Upgrade             `yaml:"upgrade"`
	Reload      Reload              `yaml:"reload"`
	Log         Log                 `yaml:"log"`
	Maintenance Maintenance         `yaml:"maintenance"`
	TicketKeys  TicketKeys          `yaml:"ticket_keys"`
	Listeners   []Listener          `yaml:"listeners"`
	Upstreams   map[string]Upstream `yaml:"upstreams"` // by name

	places places // of what was written, for Check; nil where a Config was made by hand
}

// Admin is where an operator asks and looks.
type Admin struct {
	Socket  string `yaml:"socket"`  // path of a Unix socket that only its owner may open; empty for none
	Metrics string `yaml:"metrics"` // HOST:PORT of Prometheus metrics; empty for none
}

// Upgrade is how long the steps of an upgrade may take.
type Upgrade struct {
	ReadyTimeout   time.Duration `yaml:"ready_timeout"`   // how long a new process may take until it can serve
	Probation      time.Duration `yaml:"probation"`       // how long it serves on trial; 0s switches it off
	DrainTimeout   time.Duration `yaml:"drain_timeout"`   // how long the old process finishes what is under way
	MaxGenerations int           `yaml:"max_generations"` // how many processes may live at a time, the draining ones too
	Preflight      bool          `yaml:"preflight"`       // run the new binary's check before an upgrade begins
}

// Reload is how a changed file takes effect without a new process.
type Reload struct {
	Signal string        `yaml:"signal"` // such as WINCH; empty for none
	Watch  time.Duration `yaml:"watch"`  // how often to look whether the file has changed; 0 for never
}

// Log is what is written to standard error.
type Log struct {
	Level  string  `yaml:"level"`  // debug, info, warn, error
	Format string  `yaml:"format"` // text, json
	Access float64 `yaml:"access"` // the share of requests and connections that get a line: 0 for none, 1 for all
}

// Maintenance is what clients get in maintenance mode.
type Maintenance struct {
	Page       string        `yaml:"page"`          // path of an HTML file; empty for a plain one
	RetryAfter time.Duration `yaml:"retry_after"`   // in whole seconds
	HealthPath string        `yaml:"health_path"`   // requests for it are answered as health_status says; empty for none
	HealthCode int           `yaml:"health_status"` // 200 to 599
	PauseTCP   bool          `yaml:"pause_tcp"`     // tcp listeners accept nobody meanwhile
}

// TicketKeys are the keys of TLS session tickets.
type TicketKeys struct {
	File     string        `yaml:"file"`     // shared by a fleet; empty for keys of the proxy's own
	Lifetime time.Duration `yaml:"lifetime"` // how long a key makes new tickets
	Keep     int           `yaml:"keep"`     // how many keys, the newest included, still open tickets
}

// Protocol is what a listener speaks.
type Protocol string

// The protocols.
const (
	HTTP           Protocol = "http"
	TCP            Protocol = "tcp"
	TLSPassthrough Protocol = "tls-passthrough"
)

// Listener is where clients come in.
type Listener struct {
	Name           string         `yaml:"name"`     // by which reloads and upgrades know it, at whatever address
	Address        string         `yaml:"address"`  // HOST:PORT, :PORT or unix:/path
	Protocol       Protocol       `yaml:"protocol"` // http and tcp end TLS where tls is given; tls-passthrough never does
	Upstream       string         `yaml:"upstream"` // where what no route takes goes
	Routes         []Route        `yaml:"routes"`   // not for tcp
	TLS            *TLS           `yaml:"tls"`
	ProxyProtocol  *ProxyProtocol `yaml:"proxy_protocol"`
	MaxConnections int            `yaml:"max_connections"` // 0 for no limit
	IdleTimeout    time.Duration  `yaml:"idle_timeout"`    // 0 for never; where left out, 2m for http and 1h for others
	KeepAlive      time.Duration  `yaml:"keep_alive"`      // of TCP; 0 for the system's
	HTTP           HTTPOptions    `yaml:"http"`
	PeekTimeout    time.Duration  `yaml:"peek_timeout"` // how long a client may take for its ClientHello (tls-passthrough)
}

// Route sends some of a listener's traffic elsewhere. Longer path prefixes and exact hosts come first.
type Route struct {
	Hosts      []string `yaml:"hosts"`       // http: exact, or *.example.com
	PathPrefix string   `yaml:"path_prefix"` // http: whole path segments
	SNI        []string `yaml:"sni"`         // tls-passthrough: exact, or *.example.com
	Upstream   string   `yaml:"upstream"`    // where what this route takes goes
}

// TLS is how a listener ends TLS.
type TLS struct {
	Certificates []Certificate `yaml:"certificates"` // the first serves clients whose name none is for
	ClientCA     string        `yaml:"client_ca"`    // clients must show a certificate that it signed; empty for none
	MinVersion   string        `yaml:"min_version"`  // 1.2 or 1.3
	StrictSNI    bool          `yaml:"strict_sni"`   // refuse clients whose name no certificate is for
	ALPN         []string      `yaml:"alpn"`         // tcp only; http offers h2 and http/1.1
	Hosts        []TLSHost     `yaml:"hosts"`        // what is different for some names
	Interval     time.Duration `yaml:"interval"`     // between two looks at the files
}

// Certificate is a pair of files.
type Certificate struct {
	Cert   string `yaml:"cert"`   // the certificate and its chain, in PEM
	Key    string `yaml:"key"`    // its key, in PEM
	Staple string `yaml:"staple"` // an OCSP response in DER
}

// TLSHost is what is different for some names.
type TLSHost struct {
	Names      []string `yaml:"names"`       // exact, or *.example.com
	ClientCA   string   `yaml:"client_ca"`   // empty for the listener's
	MinVersion string   `yaml:"min_version"` // empty for the listener's
}

// ProxyProtocol says from whom a PROXY header is taken.
type ProxyProtocol struct {
	Trusted []netip.Prefix `yaml:"trusted"` // networks whose connections must begin with one; others must not
	Timeout time.Duration  `yaml:"timeout"` // how long it may take to come
}

// HTTPOptions are a listener's limits and what it tells upstreams.
type HTTPOptions struct {
	ReadHeaderTimeout time.Duration  `yaml:"read_header_timeout"` // of a request's head
	ReadTimeout       time.Duration  `yaml:"read_timeout"`        // of a whole request; 0 for no limit
	WriteTimeout      time.Duration  `yaml:"write_timeout"`       // of a whole response; 0 for no limit
	MaxHeaderBytes    int            `yaml:"max_header_bytes"`    // such as 65536
	MaxBodyBytes      int64          `yaml:"max_body_bytes"`      // 0 for no limit
	Trusted           []netip.Prefix `yaml:"trusted"`             // networks whose forwarding headers are added to
	Forwarded         bool           `yaml:"forwarded"`           // send RFC 7239's Forwarded beside X-Forwarded-*
	H2C               bool           `yaml:"h2c"`                 // HTTP/2 without TLS, by prior knowledge
}

// Balance chooses a server.
type Balance string

// The ways to balance.
const (
	RoundRobin Balance = "round_robin"
	LeastConn  Balance = "least_conn"
	SourceHash Balance = "source_hash"
)

// Upstream is a group of servers that do the same.
type Upstream struct {
	Servers        []string      `yaml:"servers"`  // HOST:PORT or unix:/path
	Balance        Balance       `yaml:"balance"`  // which server gets the next request or connection
	Protocol       string        `yaml:"protocol"` // of http listeners' requests: http1 or h2c
	Health         *Health       `yaml:"health"`   // nil: no active checks
	Ejection       Ejection      `yaml:"ejection"`
	ConnectTimeout time.Duration `yaml:"connect_timeout"` // until another server is tried
	// ResponseTimeout is how long an HTTP server may take until its response's head; 0 for no limit.
	ResponseTimeout time.Duration `yaml:"response_timeout"`
	MaxConnections  int           `yaml:"max_connections"` // to all servers together; 0 for no limit
	// MaxIdle is how many idle HTTP connections to each server are kept.
	MaxIdle       int `yaml:"max_idle"`
	Retries       int `yaml:"retries"`        // how many other servers are tried
	ProxyProtocol int `yaml:"proxy_protocol"` // 1 or 2: begin connections with such a header (tcp, tls-passthrough)
}

// Health is how servers are asked whether they are well: by GET where Path is set, by connecting where not.
type Health struct {
	Path     string        `yaml:"path"`     // of the GET; empty for connecting alone
	Host     string        `yaml:"host"`     // the Host header; empty for the server's address
	Status   int           `yaml:"status"`   // what a server that is well answers; 0 for any of 200 to 399
	Interval time.Duration `yaml:"interval"` // between two times that a server is asked
	Timeout  time.Duration `yaml:"timeout"`  // until no answer is a failure
	Fall     int           `yaml:"fall"`     // failures in a row until a server is out
	Rise     int           `yaml:"rise"`     // successes in a row until it is in again
}

// Ejection takes a server out after connections to it have failed.
type Ejection struct {
	Failures int           `yaml:"failures"` // in a row; 0 for never
	Duration time.Duration `yaml:"duration"` // how long a server stays out
}
