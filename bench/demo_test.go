package bench

import (
	"strings"
	"testing"
)

func TestParseReady(t *testing.T) {
	got, err := parseReady("ready tcp=c:3 new=thing http=a:1 odd https=b:2 pid=12 pid-file=/tmp/x=y\n")
	if want := (DemoAddrs{HTTP: "a:1", HTTPS: "b:2", TCP: "c:3", PIDFile: "/tmp/x=y", PID: 12}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for line, want := range map[string]string{
		"":                                 "want its ready line",
		"readyhttp=a:1":                    "want its ready line",
		"ready http=a:1 tcp=c:3":           "lacks an address",
		"ready http=a https=b tcp=c pid=x": "pid:",
	} {
		if got, err := parseReady(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
}
