package bench

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const (
	latency = `[count p50_ms p99_ms p999_ms max_ms]`
	kernel  = `[listen_overflows listen_drops tcp_backlog_drops retrans_segs syn_retrans tcp_timeouts]`
)

// TestSchema pins the JSON's names: whoever reads them depends on them.
func TestSchema(t *testing.T) {
	const usage = `[processes_before processes_peak processes_after generations_peak rss_before_bytes rss_peak_bytes ` +
		`pss_before_bytes pss_peak_bytes cpu_s]`
	const event = `[number kind fault binary effective_ms fault_started_ms fault_ended_ms old_gone_ms old_alive usage` + usage + `]`
	const window = `[operations ok lost client_limited latency` + latency + ` histogram]`
	const want = `version started duration_s rate_per_lane_per_s conns_per_lane timeout_s client_wait_p99_ms interrupted interrupted_by notes lanes[name operations ok ` +
		`lost allowed allowed_because client_limited late latest_start_ms connections_opened connections_reopened tls_handshakes_full tls_handshakes_resumed ` +
		`failures[class errno count sample] latency_steady` + latency + ` latency_upgrading` + latency + ` hidden_by_retry refused ` +
		`duplicates loss_rate_upper_95 longest_stall_ms longest_stall_at_s before_upgrades` + window + ` during_upgrades` + window +
		` after_upgrades` + window + ` series[at_s operations lost reopened p50_ms p99_ms max_ms histogram] losses[class errno at_s ` +
		`latency_ms upgrade within_upgrade generation hidden_by_retry refused duplicate sample] losses_omitted schedule_lag` + latency +
		` schedule_lag_histogram tcp_retransmits connections_watched] upgrades[number at_s triggered_ms serving_ms pid_file_ms ` +
		`seen_by from_generation to_generation from_pid to_pid lost error until_s kernel` + kernel + ` event` + event + `] lost_before_upgrades verdict[pass ` +
		`void_runs void requests lost allowed max_lost failed_upgrades line] plan runs series_step_s schedule_lag` + latency + ` kernel` + kernel
	if got := strings.Join(schema(reflect.TypeFor[Report]()), " "); got != want {
		t.Errorf("schema version %d has become\n%s\nwant\n%s", SchemaVersion, got, want)
	}
}

func schema(of reflect.Type) (names []string) {
	for i := range of.NumField() {
		field := of.Field(i)
		if field.Anonymous {
			names = append(names, schema(field.Type)...)
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		kind := field.Type
		if kind.Kind() == reflect.Slice || kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		if kind.Kind() == reflect.Struct && kind.PkgPath() == of.PkgPath() {
			name += "[" + strings.Join(schema(kind), " ") + "]"
		}
		names = append(names, name)
	}
	return names
}

func TestWriteJSON(t *testing.T) {
	r := Report{Version: SchemaVersion, Lanes: []LaneReport{{Name: "a", Failures: []FailureCount{{Failure{WrongStatus, "503"}, 2, "s"}}}}}
	var b strings.Builder
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal([]byte(b.String()), &back); err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("%v\n%+v\nwant\n%+v", err, back, r)
	}
}

// TestReportIsDocumented: whoever reads the JSON finds every field of it in the document.
func TestReportIsDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "bench-report.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, names := range schema(reflect.TypeFor[Report]()) {
		for _, name := range strings.FieldsFunc(names, func(r rune) bool { return strings.ContainsRune("[] ", r) }) {
			if !strings.Contains(string(text), "`"+name+"`") {
				t.Errorf("%q is not documented", name)
			}
		}
	}
}
