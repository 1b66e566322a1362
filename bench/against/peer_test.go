package against

import (
	"strconv"
	"strings"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

func peer(t *testing.T, name string) Peer {
	t.Helper()
	peers, err := Select(name)
	if err != nil {
		t.Fatal(err)
	}
	return peers[0]
}

func TestSelect(t *testing.T) {
	for list, want := range map[string]string{
		"baton":               "baton baton-proxy",
		"nginx-usr2, endless": "endless nginx-usr2",
		"nginx,nginx-hup":     "nginx-hup nginx-usr2",
		"haproxy,baton-proxy": "baton-proxy haproxy haproxy-idle",
		"baton,tableflip,endless,grace,overseer,restart,reuseport,nginx,haproxy,caddy": "baton baton-proxy tableflip " +
			"endless grace overseer restart reuseport nginx-hup nginx-usr2 haproxy haproxy-idle caddy",
	} {
		peers, err := Select(list)
		if err != nil {
			t.Errorf("%q: %v", list, err)
		}
		var names []string
		for _, p := range peers {
			names = append(names, p.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q: %s, want %s", list, got, want)
		}
	}
	all, err := Select("all")
	if err != nil || len(all) != len(Peers()) {
		t.Errorf("all: %d peers, %v", len(all), err)
	}
	for list, want := range map[string]string{"": "no peers", "envoy": `no peer is called "envoy"`} {
		if _, err := Select(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", list, err, want)
		}
	}
}

func TestPeersAreDescribed(t *testing.T) {
	names := map[string]bool{}
	for _, p := range Peers() {
		if p.Name == "" || p.Family == "" || p.What == "" || len(p.Setup) == 0 || names[p.Name] {
			t.Errorf("%+v lacks something, or is there twice", p)
		}
		names[p.Name] = true
	}
}
