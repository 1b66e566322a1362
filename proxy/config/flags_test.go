package config

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestFromFlags(t *testing.T) {
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	c, err := FromFlags([]string{
		"tcp://:5433=127.0.0.1:5432",
		"http://127.0.0.1:8080=127.0.0.1:9000,app.example:9001",
		"http://unix:/run/app.front.sock=unix:back.sock",
		"tls-passthrough://0.0.0.0:8443=[::1]:9443",
		"tcp://127.0.0.1:0=127.0.0.1:1",
		"tcp://127.0.0.1:0=127.0.0.1:2",
	})
	if err != nil {
		t.Fatal(err)
	}
	type line struct {
		name, address string
		protocol      Protocol
		servers       []string
	}
	want := []line{
		{"tcp-5433", ":5433", TCP, []string{"127.0.0.1:5432"}},
		{"http-127-0-0-1-8080", "127.0.0.1:8080", HTTP, []string{"127.0.0.1:9000", "app.example:9001"}},
		{"http-app-front", "unix:/run/app.front.sock", HTTP, []string{"unix:" + filepath.Join(folder, "back.sock")}},
		{"tls-passthrough-8443", "0.0.0.0:8443", TLSPassthrough, []string{"[::1]:9443"}},
		{"tcp-127-0-0-1-0", "127.0.0.1:0", TCP, []string{"127.0.0.1:1"}},
		{"tcp-127-0-0-1-0-2", "127.0.0.1:0", TCP, []string{"127.0.0.1:2"}},
	}
	var have []line
	for _, l := range c.Listeners {
		have = append(have, line{l.Name, l.Address, l.Protocol, c.Upstreams[l.Upstream].Servers})
	}
	if !reflect.DeepEqual(have, want) {
		t.Errorf("have %q\nwant %q", have, want)
	}
}

// A flag says no more than a smallest file does.
func TestFlagIsASmallFile(t *testing.T) {
	have, err := FromFlags([]string{"http://:8080=127.0.0.1:9000"})
	if err != nil {
		t.Fatal(err)
	}
	want := parse(t, `listeners: [{name: http-8080, address: ":8080", protocol: http, upstream: http-8080}]
upstreams: {http-8080: {servers: [127.0.0.1:9000]}}
`)
	have.places = nil
	if !reflect.DeepEqual(have, want) {
		t.Errorf("have %+v\nwant %+v", have, want)
	}
	if have.Listeners[0].IdleTimeout != 2*time.Minute {
		t.Error("the listener has no defaults")
	}
}

func TestBadFlags(t *testing.T) {
	_, err := FromFlags([]string{
		"tcp://:5433=127.0.0.1:5432",
		"127.0.0.1:8080",
		"https://:8443=127.0.0.1:9000",
		"htp://:1=127.0.0.1:9000",
		"tcp://:1",
		"tcp://:99999=127.0.0.1:1",
		"tcp://:1=127.0.0.1:1,:2",
		"http://127.0.0.1:5433=127.0.0.1:9000",
		"tcp://:2=127.0.0.1:1,127.0.0.1:1",
	})
	want := `--listen 2: 127.0.0.1:8080: names no protocol: ` + listenShape + `
--listen 3: https://:8443=127.0.0.1:9000: https:// needs certificates: write a file with ` +
		`listeners[].tls, and give it by --config
--listen 4: htp://:1=127.0.0.1:9000: "htp" is no protocol: ` + listenShape + `
--listen 5: tcp://:1: names no server: ` + listenShape + `
--listen 6: tcp://:99999=127.0.0.1:1: ":99999" has no port from 0 to 65535: give HOST:PORT, :PORT or unix:/path
--listen 7: tcp://:1=127.0.0.1:1,:2: ":2" has no host: give one, such as 127.0.0.1:2
--listen 8: http://127.0.0.1:5433=127.0.0.1:9000: "127.0.0.1:5433" overlaps with --listen 1, since one of them is ` +
		`the port on every address: give another port
--listen 9: tcp://:2=127.0.0.1:1,127.0.0.1:1: "127.0.0.1:1" is --listen 9 already: keep one`
	if err == nil || err.Error() != want {
		t.Errorf("have\n%v\nwant\n%s", err, want)
	}
	if m := Mistakes(err); len(m) != 8 {
		t.Errorf("%d mistakes, not 8", len(m))
	}
	if _, err := FromFlags(nil); err == nil || err.Error() != "--listen: is missing: "+listenShape {
		t.Errorf("no flags: %v", err)
	}
}
