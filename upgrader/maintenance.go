package upgrader

import (
	"net/http"
	"sync"
)

// maintenance is a switch that survives upgrades.
type maintenance struct {
	mu       sync.Mutex
	on       bool
	switched bool // in this process, which knows better than its parent
}

// Maintenance tells whether maintenance mode is on.
func (u *Upgrader) Maintenance() bool {
	u.maintenance.mu.Lock()
	defer u.maintenance.mu.Unlock()
	return u.maintenance.on
}

// SetMaintenance switches maintenance mode, as USR1 and USR2 do. Serve then answers with Options.MaintenancePage; what
// else it means is the program's to decide, with Maintenance or Options.OnMaintenance. The next generation inherits
// it.
func (u *Upgrader) SetMaintenance(on bool) {
	u.maintenance.mu.Lock()
	changed := u.maintenance.on != on
	u.maintenance.on, u.maintenance.switched = on, true
	u.maintenance.mu.Unlock()
	if changed {
		u.tellMaintenance(on)
	}
}

func (u *Upgrader) tellMaintenance(on bool) {
	u.log.Info("maintenance mode", "on", on)
	if u.opts.OnMaintenance != nil {
		u.opts.OnMaintenance(on)
	}
}

func (u *Upgrader) restoreMaintenance() {
	_ = u.state.provide(stateMaintenance, func() []byte {
		if u.Maintenance() {
			return []byte{1}
		}
		return []byte{0}
	})
	set := func(blob []byte) {
		on := len(blob) == 1 && blob[0] == 1
		u.maintenance.mu.Lock()
		changed := u.maintenance.on != on && !u.maintenance.switched
		if changed {
			u.maintenance.on = on
		}
		u.maintenance.mu.Unlock()
		if changed {
			u.tellMaintenance(on)
		}
	}
	u.OnState(stateMaintenance, set)
	if blob, ok := u.State(stateMaintenance); ok {
		set(blob)
	}
}

// maintenancePage is what Serve answers with where the program has no page of its own.
var maintenancePage = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "30")
	http.Error(w, "down for maintenance, back soon", http.StatusServiceUnavailable)
})
