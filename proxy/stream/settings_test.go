package stream

import (
	"testing"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

func TestRoute(t *testing.T) {
	s := Settings{
		Listener: config.Listener{Upstream: "rest", Routes: []config.Route{
			{SNI: []string{"*.example.test"}, Upstream: "wild"}, {SNI: []string{"*.b.example.test"}, Upstream: "deeper"},
			{SNI: []string{"a.example.test", "a.test"}, Upstream: "exact"}, {SNI: []string{"gone.test"}, Upstream: "gone"},
		}},
		Upstreams: map[string]*Upstream{"wild": {}, "deeper": {}, "exact": {}, "rest": {}},
	}
	for sni, want := range map[string]string{
		"": "rest", "a.test": "exact", "A.Test": "exact", "a.example.test": "exact", "x.example.test": "wild",
		"x.b.example.test": "deeper", "b.example.test": "wild", "example.test": "rest", ".example.test": "wild",
		"localhost": "rest", "xa.test": "rest", "a.test.x": "rest", ".": "rest",
	} {
		if got := s.route(sni); got == nil || got != s.Upstreams[want] {
			t.Errorf("%q is not sent to %s", sni, want)
		}
	}
	if s.route("gone.test") != nil {
		t.Error("a route to an upstream that is not there takes another")
	}
}
