package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
)

// maxBody bounds what a request may bring.
const maxBody = 4 << 10

// Handler answers an operator. The http.Server that runs it needs ConnContext, and no write timeout, since an upgrade
// takes as long as it takes. What changes the proxy is logged, and so is what fails.
func Handler(s Service, log *slog.Logger) http.Handler {
	h := handler{s, log}
	return onlyOwner(os.Geteuid(), http.HandlerFunc(h.route))
}

type handler struct {
	Service
	log *slog.Logger
}

// route is no http.ServeMux, since that one answers what it does not know in its own words.
func (h handler) route(w http.ResponseWriter, r *http.Request) {
	answers, ok := map[string]map[string]http.HandlerFunc{
		"/status":      {http.MethodGet: h.status},
		"/upgrade":     {http.MethodPost: h.upgrade},
		"/reload":      {http.MethodPost: h.reload},
		"/maintenance": {http.MethodGet: h.maintenance, http.MethodPut: h.setMaintenance},
	}[r.URL.Path]
	if !ok {
		refuse(w, http.StatusNotFound, "there is no %s: ask for /status, /upgrade, /reload or /maintenance", r.URL.Path)
		return
	}
	answer, ok := answers[r.Method]
	if !ok {
		var methods []string
		for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut} {
			if answers[m] != nil {
				methods = append(methods, m)
			}
		}
		w.Header().Set("Allow", strings.Join(methods, ", "))
		refuse(w, http.StatusMethodNotAllowed, "%s does not take %s: use %s", r.URL.Path, r.Method,
			strings.Join(methods, " or "))
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	answer(w, r)
}

func (h handler) status(w http.ResponseWriter, r *http.Request) {
	status, err := h.Status(r.Context())
	if err != nil {
		h.log.Warn("an operator's question for the status failed", "error", err)
		refuse(w, http.StatusInternalServerError, "%v", err)
		return
	}
	reply(w, http.StatusOK, status.answer())
}

func (h handler) reload(w http.ResponseWriter, r *http.Request) {
	h.log.Info("an operator asks for a reload")
	result, err := h.Reload(r.Context())
	if err != nil {
		h.log.Warn("the reload that an operator asked for failed", "error", err)
		refuse(w, http.StatusUnprocessableEntity, "%v", err)
		return
	}
	result.Changes = list(result.Changes)
	reply(w, http.StatusOK, result)
}

// mode is the body of /maintenance, both ways.
type mode struct {
	On *bool `json:"on"`
}

func (h handler) maintenance(w http.ResponseWriter, _ *http.Request) {
	on := h.Maintenance()
	reply(w, http.StatusOK, mode{&on})
}

func (h handler) setMaintenance(w http.ResponseWriter, r *http.Request) {
	want, err := readMode(r.Body)
	if err != nil {
		refuse(w, http.StatusBadRequest, `the body must be {"on":true} or {"on":false}: %v`, err)
		return
	}
	h.log.Info("an operator switches maintenance mode", "on", *want.On)
	if err := h.SetMaintenance(*want.On); err != nil {
		h.log.Warn("maintenance mode was not switched", "error", err)
		refuse(w, http.StatusInternalServerError, "%v", err)
		return
	}
	reply(w, http.StatusOK, want)
}

func readMode(body io.Reader) (m mode, err error) {
	in := json.NewDecoder(body)
	in.DisallowUnknownFields()
	if err := in.Decode(&m); err != nil {
		return m, err
	}
	if m.On == nil {
		return m, errors.New(`it has no "on"`)
	}
	if _, err := in.Token(); err != io.EOF {
		return m, errors.New("something follows it")
	}
	return m, nil
}

// event is one line of an upgrade's answer.
type event struct {
	Progress string `json:"progress,omitempty"`
	Done     bool   `json:"done,omitempty"`
	Error    string `json:"error,omitempty"`
}

func (h handler) upgrade(w http.ResponseWriter, r *http.Request) {
	h.log.Info("an operator asks for an upgrade")
	w.Header().Set("Content-Type", "application/x-ndjson")
	flush := http.NewResponseController(w)
	var mu sync.Mutex
	over := false // w must not be used after this returns, whoever still has progress to tell
	tell := func(e event) {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		over = e.Progress == ""
		// An operator who has gone does not hold up the upgrade.
		_ = json.NewEncoder(w).Encode(e)
		_ = flush.Flush()
	}
	err := h.Upgrade(r.Context(), func(progress string) {
		if progress != "" {
			tell(event{Progress: progress})
		}
	})
	if err != nil {
		h.log.Warn("the upgrade that an operator asked for failed", "error", err)
		tell(event{Error: err.Error()})
		return
	}
	tell(event{Done: true})
}

// failure is the body of every answer that is none.
type failure struct {
	Error string `json:"error"`
}

func refuse(w http.ResponseWriter, code int, format string, args ...any) {
	reply(w, code, failure{fmt.Sprintf(format, args...)})
}

func reply(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // fails only where the operator has gone
}
