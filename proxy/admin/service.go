package admin

import (
	"context"
	"slices"
	"time"
)

// Service is the proxy, as an operator sees it. Its methods may be called from many goroutines.
type Service interface {
	// Status says how the proxy is doing.
	Status(context.Context) (Status, error)

	// Upgrade replaces the proxy by the program that is on disk now, tells progress in words for people, and returns
	// when the new one is in charge or the upgrade has failed. A context that ends, as it does when the operator's
	// connection does, ends the waiting and not the upgrade. Progress may be called from any goroutine.
	Upgrade(ctx context.Context, progress func(string)) error

	// Reload makes the configuration file take effect, or changes nothing and says why.
	Reload(context.Context) (ReloadResult, error)

	// Maintenance says whether maintenance mode is on.
	Maintenance() bool

	// SetMaintenance switches it. To switch it to what it is already is no error.
	SetMaintenance(on bool) error
}

// ReloadResult is what a reload did.
type ReloadResult struct {
	// Changes are in words for people, such as "listener web: opened on :8080"; empty where the file says what it said.
	Changes []string `json:"changes"`
}

// Status is how a proxy is doing. Zero times are left out of its JSON.
type Status struct {
	Version    string    `json:"version"`
	PID        int       `json:"pid"`
	Generation int       `json:"generation"`
	Phase      string    `json:"phase"`
	Since      time.Time `json:"since,omitzero"` // in this phase
	Living     []int     `json:"living"`         // pids of all generations, this one's included
	ChildPID   int       `json:"child_pid,omitempty"`

	Maintenance  bool        `json:"maintenance"`
	ConfigFile   string      `json:"config_file,omitempty"`
	ConfigLoaded time.Time   `json:"config_loaded,omitzero"`
	LastReload   *LastReload `json:"last_reload,omitempty"` // nil before the first one

	Listeners    []Listener    `json:"listeners"`
	Upstreams    []Upstream    `json:"upstreams"`
	Certificates []Certificate `json:"certificates"`
}

// answer returns s as it is told: a list that is empty is [] in JSON and not null.
func (s Status) answer() Status {
	s.Living, s.Listeners = list(s.Living), list(s.Listeners)
	s.Upstreams, s.Certificates = slices.Clone(list(s.Upstreams)), slices.Clone(list(s.Certificates))
	for i := range s.Upstreams {
		s.Upstreams[i].Servers = list(s.Upstreams[i].Servers)
	}
	for i := range s.Certificates {
		s.Certificates[i].Names = list(s.Certificates[i].Names)
	}
	return s
}

func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// LastReload is when the configuration file was last asked to take effect, and why it did not.
type LastReload struct {
	At    time.Time `json:"at"`
	Error string    `json:"error,omitempty"`
}

// Listener is where clients come in.
type Listener struct {
	Name        string `json:"name"`
	Protocol    string `json:"protocol"`
	Address     string `json:"address"`
	Connections int    `json:"connections"` // now
	Accepted    uint64 `json:"accepted"`    // ever
	Paused      bool   `json:"paused"`
}

// Upstream is where they are sent on to.
type Upstream struct {
	Name    string   `json:"name"`
	Balance string   `json:"balance"`
	Servers []Server `json:"servers"`
}

// StateUp is the State of a server that is sent clients; every other one is shown as a problem.
const StateUp = "up"

// Server is one server of an upstream.
type Server struct {
	Address   string    `json:"address"`
	State     string    `json:"state"`
	Since     time.Time `json:"since,omitzero"` // in this state
	Active    int       `json:"active"`         // connections or requests now
	Picks     uint64    `json:"picks"`          // how often it was chosen
	Failures  uint64    `json:"failures"`
	LastError string    `json:"last_error,omitempty"`
}

// Certificate is one that a listener shows its clients.
type Certificate struct {
	Listener  string    `json:"listener"`
	Source    string    `json:"source"` // the file
	Names     []string  `json:"names"`
	Serial    string    `json:"serial"`
	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`
	Error     string    `json:"error,omitempty"` // why a newer one on disk is not in use
}
