package upgrader_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/cloudflare/tableflip"
	"github.com/seed-e3b9a99f/baton/upgrader"
)

// Everything that tableflip exports is here, with the same types.
func TestTableflipAPI(t *testing.T) {
	rename := strings.NewReplacer("tableflip.", "upgrader.").Replace
	for _, pair := range []struct{ theirs, ours reflect.Type }{
		{reflect.TypeFor[*tableflip.Upgrader](), reflect.TypeFor[*upgrader.Upgrader]()},
		{reflect.TypeFor[*tableflip.Fds](), reflect.TypeFor[*upgrader.Fds]()},
		{reflect.TypeFor[tableflip.Listener](), reflect.TypeFor[upgrader.Listener]()},
		{reflect.TypeFor[tableflip.PacketConn](), reflect.TypeFor[upgrader.PacketConn]()},
		{reflect.TypeFor[tableflip.Conn](), reflect.TypeFor[upgrader.Conn]()},
	} {
		for m := range pair.theirs.Methods() {
			ours, ok := pair.ours.MethodByName(m.Name)
			if !ok {
				t.Errorf("%v has no %s", pair.ours, m.Name)
				continue
			}
			if want, got := rename(m.Type.String()), ours.Type.String(); got != want {
				t.Errorf("%v.%s is %s, tableflip's is %s", pair.ours, m.Name, got, want)
			}
		}
	}
	options := reflect.TypeFor[upgrader.Options]()
	for i, theirs := 0, reflect.TypeFor[tableflip.Options](); i < theirs.NumField(); i++ {
		// In the same places, for those who write them without names... which go vet warns of.
		if ours := options.Field(i); ours.Name != theirs.Field(i).Name || ours.Type != theirs.Field(i).Type {
			t.Errorf("Options.%s is %v, tableflip has %s %v there", ours.Name, ours.Type, theirs.Field(i).Name, theirs.Field(i).Type)
		}
	}
	if upgrader.DefaultUpgradeTimeout != tableflip.DefaultUpgradeTimeout {
		t.Error("DefaultUpgradeTimeout differs")
	}
	var _ func(upgrader.Options) (*upgrader.Upgrader, error) = upgrader.New
	var _ error = upgrader.ErrNotSupported
	var u upgrader.Upgrader
	_ = u.Fds // programs name it
}
