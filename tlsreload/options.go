package tlsreload

import (
	"crypto/tls"
	"log/slog"
	"time"
)

// DefaultInterval is the time between two looks at the sources.
const DefaultInterval = 10 * time.Second

// Options say what to serve. Only Sources has to be set.
type Options struct {
	// Sources are asked for certificates and client CAs. The first certificate of all answers clients that name no
	// server, or one that no certificate has.
	Sources []Source

	// StrictSNI refuses those clients instead (alert unrecognized_name).
	StrictSNI bool

	// ClientCA is the name of the bundle that has to have signed the certificates of clients; see Files.ClientCAs for
	// what names there are. Empty asks for none.
	ClientCA string

	// ClientAuth is what to ask of clients where there is a ClientCA. Zero is tls.RequireAndVerifyClientCert.
	ClientAuth tls.ClientAuthType

	// MinVersion is the lowest version of TLS. Zero is crypto/tls's default.
	MinVersion uint16

	// Hosts are names with rules of their own. Names that are not in it are treated as ClientCA, ClientAuth and
	// MinVersion say.
	Hosts []Host

	// Base is what connections are served with beside what this package sets: cipher suites, curves, VerifyConnection
	// and so on. It is cloned. Its certificates, client CAs, session ticket settings, GetCertificate and
	// GetConfigForClient do not count.
	Base *tls.Config

	// Interval is the time between two looks at the sources, give or take a tenth. Zero is DefaultInterval.
	Interval time.Duration

	// Wait has New wait until all is there and good. Otherwise it fails when something is not.
	Wait bool

	// Allow takes what is otherwise refused.
	Allow Allow

	// TicketKeys seal the session tickets. Nil makes some that end with the Reloader, as Tickets says. One that is
	// given may be shared, and is closed by who made it.
	TicketKeys *TicketKeys

	// Tickets configures the keys that New makes where TicketKeys is nil.
	Tickets TicketOptions

	// TicketDomain tells apart the tickets of servers that share TicketKeys and do not trust the same clients, such as
	// the listeners of one program.
	TicketDomain string

	// MaxAge is how long HTTP connections may go on after their certificate was replaced; then they end at their next
	// response. Zero lets them live. It needs Attach.
	MaxAge time.Duration

	// Before is asked before a change takes effect; an error refuses the change. It is not asked about the start.
	Before func(old, new Status) error

	// After is told of a change that took effect.
	After func(old, new Status)

	// Logger gets a line for every change, and one for every new reason to refuse one. Nil is slog.Default.
	Logger *slog.Logger
}

// Host says how clients of some names are treated.
type Host struct {
	Names      []string // "a.example.com", or "*.example.com" for one label
	ClientCA   string   // see Options
	ClientAuth tls.ClientAuthType
	MinVersion uint16
}

// Allow takes what is otherwise refused.
type Allow struct {
	Expired     bool // certificates whose time is over
	NotYetValid bool // certificates whose time has not come
	LostNames   bool // a certificate without a name that the one before it had, where no other certificate has it
}

func (o *Options) setDefaults() {
	if o.Interval <= 0 {
		o.Interval = DefaultInterval
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Tickets.Logger == nil {
		o.Tickets.Logger = o.Logger
	}
}
