package bench

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestSchema pins the JSON's names: whoever reads them depends on them.
func TestSchema(t *testing.T) {
	const want = `version started duration_s rate_per_lane_per_s conns_per_lane timeout_s client_wait_p99_ms interrupted lanes[name operations ok ` +
		`lost allowed allowed_because client_limited late latest_start_ms connections_opened connections_reopened tls_handshakes_full tls_handshakes_resumed ` +
		`failures[class errno count sample] latency_steady[count p50_ms p99_ms p999_ms max_ms] ` +
		`latency_upgrading[count p50_ms p99_ms p999_ms max_ms]] upgrades[number at_s triggered_ms serving_ms pid_file_ms ` +
		`from_generation to_generation from_pid to_pid lost error] lost_before_upgrades verdict[pass void requests lost ` +
		`allowed max_lost failed_upgrades line]`
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
		if kind.Kind() == reflect.Slice {
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
