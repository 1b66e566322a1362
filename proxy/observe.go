package proxy

import (
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/httpproxy"
	"github.com/seed-e3b9a99f/baton/proxy/metrics"
	"github.com/seed-e3b9a99f/baton/proxy/stream"
	"github.com/seed-e3b9a99f/baton/upgrader"
)

// instruments are what is counted.
type instruments struct {
	set                                                                               *metrics.Set
	connections, requests, errors, retries, bytes, upgrades, reloads, moved, failures *metrics.Counter
	handshakes                                                                        *metrics.Counter
	seconds                                                                           *metrics.Histogram
}

func newInstruments() *instruments {
	s := metrics.New()
	return &instruments{
		set:         s,
		connections: s.Counter(metrics.ConnectionsTotal, "Connections accepted.", "listener"),
		requests:    s.Counter(metrics.RequestsTotal, "HTTP requests answered.", "listener", "upstream", "method", "code"),
		errors:      s.Counter(metrics.ErrorsTotal, "Requests and connections that failed.", "listener", "upstream", "class"),
		retries:     s.Counter(metrics.RetriesTotal, "How often another server was tried.", "upstream"),
		bytes:       s.Counter(metrics.BytesTotal, "Bytes from clients (in) and to clients (out).", "listener", "direction"),
		upgrades:    s.Counter(metrics.UpgradesTotal, "Upgrades of the proxy.", "result"),
		reloads:     s.Counter(metrics.ReloadsTotal, "Reloads of the configuration.", "result"),
		failures:    s.Counter(metrics.UpstreamFailures, "Connections to servers that failed.", "upstream", "server"),
		moved:       s.Counter(metrics.RelaysMovedTotal, "Connections that came from the process before."),
		handshakes:  s.Counter(metrics.TLSHandshakesTotal, "TLS handshakes with clients.", "listener", "resumed"),
		seconds:     s.Histogram(metrics.RequestSeconds, "Seconds from a request to the last byte of its response.", metrics.SecondsBuckets, "listener", "upstream"),
	}
}

func (i *instruments) failed(listener, upstream, class string) {
	i.errors.With(listener, upstream, class).Inc()
}

func (i *instruments) transferred(listener string, in, out uint64) {
	i.bytes.With(listener, "in").Add(in)
	i.bytes.With(listener, "out").Add(out)
}

// methods are those that have a label of their own.
var methods = map[string]bool{
	"GET": true, "HEAD": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true, "OPTIONS": true, "CONNECT": true, "TRACE": true,
}

// observeHTTP counts a request, and writes its access log line.
func (p *Proxy) observeHTTP(e httpproxy.Exchange) {
	method := e.Method
	if !methods[method] {
		method = "other"
	}
	p.counts.requests.With(e.Listener, e.Upstream, method, strconv.Itoa(e.Status)).Inc()
	p.counts.seconds.With(e.Listener, e.Upstream).Observe(e.Duration.Seconds())
	p.counts.transferred(e.Listener, uint64(e.BytesIn), uint64(e.BytesOut))
	if e.Class != "" {
		p.counts.failed(e.Listener, e.Upstream, string(e.Class))
	}
	if e.Retries > 0 {
		p.counts.retries.With(e.Upstream).Add(uint64(e.Retries))
	}
	if !p.sampled() {
		return
	}
	p.log.Info("access", "listener", e.Listener, "client", e.Client, "method", e.Method, "host", e.Request.Host,
		"path", e.Request.URL.Path, "protocol", e.Request.Proto, "status", e.Status, "in", e.BytesIn, "out", e.BytesOut,
		"ms", milliseconds(e.Duration), "upstream", e.Upstream, "server", e.Server, "retries", e.Retries, errorAttr(string(e.Class)))
}

// observeStream counts a connection that has ended, and writes its access log line.
func (p *Proxy) observeStream(e stream.Event) {
	p.counts.transferred(e.Listener, e.Up, e.Down)
	if e.Class != "" {
		p.counts.failed(e.Listener, e.Upstream, string(e.Class))
	}
	if e.Retries > 0 {
		p.counts.retries.With(e.Upstream).Add(uint64(e.Retries))
	}
	if !p.sampled() {
		return
	}
	p.log.Info("access", "listener", e.Listener, "client", e.Source, "sni", e.SNI, "in", e.Up, "out", e.Down,
		"ms", milliseconds(e.Duration), "upstream", e.Upstream, "server", e.Server, "retries", e.Retries, errorAttr(string(e.Class)))
}

func errorAttr(class string) slog.Attr {
	if class == "" {
		return slog.Attr{}
	}
	return slog.String("error", class)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// sampled tells whether this one gets a line in the access log.
func (p *Proxy) sampled() bool {
	share := p.running.Load().config.Log.Access
	return share >= 1 || share > 0 && rand.Float64() < share
}

// inheritCounts goes on with the parent's counters, and tells the next generation what is counted while this one drains.
func (p *Proxy) inheritCounts() error {
	inherit := func(blob []byte) {
		if err := p.counts.set.Inherit(blob); err != nil {
			p.log.Warn("counters of before are lost", "err", err)
		}
	}
	if blob, ok := p.u.State(stateMetrics); ok {
		inherit(blob)
	}
	p.u.OnState(stateMetrics, inherit)
	p.counts.upgrades.With("ok") // so that the first one is seen as an increase
	p.u.Go(p.tellCounts)
	return p.u.OnParcel(parcelCounts, func(parcel upgrader.Parcel) error { return p.counts.set.Late(parcel.Data) })
}

// tellCounts sends what is counted while this process drains to the generation in charge.
func (p *Proxy) tellCounts() error {
	const every = 200 * time.Millisecond
	<-p.u.Exit()
	if p.u.ChildPID() == 0 {
		return nil
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last := false; ; {
		for _, part := range metrics.Split(p.counts.set.Remainder(), upgrader.MaxParcelData) {
			if err := p.u.SendParcel(upgrader.Parcel{Kind: parcelCounts, Data: part}); err != nil {
				p.log.Warn("some of what was counted is lost", "err", err)
				return nil
			}
		}
		if last {
			return nil
		}
		select {
		case <-p.u.Done():
			last = true
		case <-tick.C:
			last = p.connections() == 0
		}
	}
}

// connections are those of all listeners that are in this process, the closed ones included.
func (p *Proxy) connections() int {
	n := p.relays.Len()
	for _, l := range p.running.Load().listeners {
		now, _ := l.connections()
		n += now
	}
	p.retired.Range(func(l, _ any) bool {
		now, _ := l.(*listener).connections()
		n += now
		return true
	})
	return n
}

// gauges are read when somebody asks.
func (p *Proxy) gauges() {
	s := p.counts.set
	s.Gauge(metrics.Connections, "Connections now.", []string{"listener"}, func() (all []metrics.Sample) {
		for _, l := range p.running.Load().sorted() {
			now, _ := l.connections()
			all = append(all, metrics.Sample{Labels: []string{l.config.Name}, Value: float64(now)})
		}
		return all
	})
	for name, read := range map[string]func() float64{
		metrics.Generation:        func() float64 { return float64(p.u.Generation()) },
		metrics.GenerationsLiving: func() float64 { return float64(len(p.u.Living())) },
		metrics.Maintenance:       func() float64 { return truth(p.u.Maintenance()) },
	} {
		s.Gauge(name, gaugeHelp[name], nil, func() []metrics.Sample { return []metrics.Sample{{Value: read()}} })
	}
	perServer := []string{"upstream", "server"}
	s.Gauge(metrics.UpstreamUp, "1 where the server is sent clients.", perServer, func() (all []metrics.Sample) {
		return p.servers(func(v server) float64 { return truth(v.State == "up") })
	})
	s.Gauge(metrics.UpstreamActive, "Connections or requests now.", perServer, func() []metrics.Sample {
		return p.servers(func(v server) float64 { return float64(v.Active) })
	})
	s.Gauge(metrics.CertificateNotAfter, "When the certificate expires, in Unix time.", []string{"listener", "source"}, func() (all []metrics.Sample) {
		for _, c := range p.certificates() {
			all = append(all, metrics.Sample{Labels: []string{c.Listener, c.Source}, Value: float64(c.NotAfter.Unix())})
		}
		return all
	})
}

var gaugeHelp = map[string]string{
	metrics.Generation:        "Generation of the process that answers.",
	metrics.GenerationsLiving: "Processes of the service that live.",
	metrics.Maintenance:       "1 in maintenance mode.",
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
