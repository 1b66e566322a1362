package testing_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	original "github.com/cloudflare/tableflip/testing"
	"github.com/seed-e3b9a99f/baton/upgrader"
	stub "github.com/seed-e3b9a99f/baton/upgrader/testing"
)

func Example() {
	u, err := stub.New()
	if err != nil {
		panic(err)
	}
	ln, err := u.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer ln.Close()
	fmt.Println(u.HasParent(), u.Ready(), errors.Is(u.Upgrade(), upgrader.ErrNotSupported))
	// Output: false <nil> true
}

// The stub has the methods of tableflip's, with the same types.
func TestSameMethods(t *testing.T) {
	theirs, ours := reflect.TypeFor[*original.Upgrader](), reflect.TypeFor[*stub.Upgrader]()
	for m := range theirs.Methods() {
		got, ok := ours.MethodByName(m.Name)
		if !ok {
			t.Errorf("no method %s", m.Name)
			continue
		}
		want := strings.ReplaceAll(m.Type.String(), "*testing.Upgrader", "receiver")
		if have := strings.ReplaceAll(got.Type.String(), "*testing.Upgrader", "receiver"); have != want {
			t.Errorf("%s is %s, tableflip's is %s", m.Name, have, want)
		}
	}
}
