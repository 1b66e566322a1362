//go:build unix

package page

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// node is what assistive technology sees of an element: https://chromedevtools.github.io/devtools-protocol/tot/Accessibility.
type node struct {
	Ignored                 bool
	Role, Name, Description struct{ Value any }
}

func (n node) String() string {
	text := func(v any) string { s, _ := v.(string); return s }
	return text(n.Role.Value) + " " + text(n.Name.Value)
}

// devtools speaks the DevTools protocol with a Chromium over pipes: JSON, each message ended by a zero byte.
type devtools struct {
	t    *testing.T
	to   *os.File
	from *bufio.Reader
	last int
}

func (d *devtools) call(session, method string, params, result any) {
	d.t.Helper()
	d.last++
	request := map[string]any{"id": d.last, "method": method, "params": params}
	if session != "" {
		request["sessionId"] = session
	}
	text, err := json.Marshal(request)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.to.Write(append(text, 0)); err != nil {
		d.t.Fatal(err)
	}
	for {
		text, err := d.from.ReadBytes(0)
		if err != nil {
			d.t.Fatalf("%s: %v", method, err)
		}
		var answer struct {
			ID     int
			Error  json.RawMessage
			Result json.RawMessage
		}
		if err := json.Unmarshal(text[:len(text)-1], &answer); err != nil {
			d.t.Fatal(err)
		}
		switch {
		case answer.ID != d.last: // an event
			continue
		case answer.Error != nil:
			d.t.Fatalf("%s: %s", method, answer.Error)
		}
		if err := json.Unmarshal(answer.Result, result); err != nil {
			d.t.Fatal(err)
		}
		return
	}
}

// accessible opens a file in Chromium and returns what a screen reader is told of.
func accessible(t *testing.T, file string) (nodes []node) {
	t.Helper()
	path := lookChromium(t)
	commands, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, answers, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append(chromiumFlags(t), "--remote-debugging-pipe", "about:blank")...)
	cmd.ExtraFiles = []*os.File{commands, answers} // descriptors 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	commands.Close()
	answers.Close()
	defer func() {
		to.Close() // it ends when nobody can command it
		if err := cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
			t.Error(err)
		}
		from.Close()
	}()
	d := &devtools{t: t, to: to, from: bufio.NewReader(from)}
	from.SetReadDeadline(time.Now().Add(time.Minute))
	var target struct{ TargetID string }
	d.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	d.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	d.call(attached.SessionID, "Page.navigate", map[string]any{"url": "file://" + file}, &struct{}{}) // until it has begun
	var drawn struct{ Result struct{ Value any } }
	const ready = `new Promise(done => document.readyState === 'complete' ? done(1) : addEventListener('load', () => done(1)))`
	d.call(attached.SessionID, "Runtime.evaluate", map[string]any{"expression": ready, "awaitPromise": true}, &drawn)
	var tree struct{ Nodes []node }
	d.call(attached.SessionID, "Accessibility.getFullAXTree", map[string]any{}, &tree)
	return slices.DeleteFunc(tree.Nodes, func(n node) bool { return n.Ignored })
}

// Whoever cannot see the page is told the name of each panel, table and chart.
func TestScreenReadersAreToldEveryPanel(t *testing.T) {
	nodes := accessible(t, saved(t, written(t, sample(t))))
	var told []string
	for _, n := range nodes {
		told = append(told, strings.ToLower(n.String()))
	}
	for _, want := range []string{
		"heading what clients lost", "region lanes", "region latency over time", "image latency over time",
		"region losses over time", "image losses over time", "region latency of each lane", `image http "new" </script>`, "image tcp long",
		"region upgrades and other events", "region losses one by one", "region how it was measured",
		"columnheader requests", "rowheader tcp long", "rowheader rotation 2",
	} {
		if !slices.Contains(told, want) {
			t.Errorf("no %q among what is told", want)
		}
	}
	for _, n := range nodes {
		if role := strings.Fields(n.String() + " ?")[0]; slices.Contains([]string{"image", "region", "table"}, role) && n.Name.Value == "" && role != "table" {
			t.Errorf("a nameless %s", role)
		}
	}
	if t.Failed() {
		t.Log(strings.Join(told, "\n"))
	}
}
