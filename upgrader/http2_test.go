package upgrader

import (
	"bytes"
	"io"
	"math"
	"net"
	"testing"

	"golang.org/x/net/http2"
	"pgregory.net/rapid"
)

// writes is a connection of which only what is written matters.
type writes struct {
	net.Conn
	buf bytes.Buffer
}

func (w *writes) Write(b []byte) (int, error) { return w.buf.Write(b) }

// However the server's frames are cut into writes, and whenever it is told to go, one GOAWAY stands between two of them,
// and never before the first.
func TestFirstGoAwayStandsBetweenFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var server bytes.Buffer
		framer := http2.NewFramer(&server, nil)
		_ = framer.WriteSettings()
		sizes := rapid.SliceOfN(rapid.IntRange(0, 100), 0, 10).Draw(t, "payloads")
		for i, n := range sizes {
			_ = framer.WriteData(uint32(2*i+1), false, make([]byte, n))
		}
		out := &writes{}
		c := &h2Conn{Conn: out}
		told := rapid.IntRange(0, server.Len()).Draw(t, "told after")
		for sent, b := 0, server.Bytes(); sent <= len(b); {
			if sent >= told && told >= 0 {
				c.goAway()
				told = -1
			}
			if sent == len(b) {
				break
			}
			n := min(rapid.IntRange(1, 50).Draw(t, "write"), len(b)-sent)
			if written, err := c.Write(b[sent : sent+n]); written != n || err != nil {
				t.Fatalf("wrote %d of %d: %v", written, n, err)
			}
			sent += n
		}

		read := http2.NewFramer(nil, &out.buf)
		var data []int
		goAways := 0
		for i := 0; ; i++ {
			f, err := read.ReadFrame()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("frame %d: %v", i, err)
			}
			switch f := f.(type) {
			case *http2.GoAwayFrame:
				goAways++
				if i == 0 || f.LastStreamID != math.MaxInt32 || f.ErrCode != http2.ErrCodeNo {
					t.Errorf("frame %d is %v", i, f)
				}
			case *http2.DataFrame:
				data = append(data, len(f.Data()))
			}
		}
		if goAways != 1 || len(data) != len(sizes) {
			t.Fatalf("%d GOAWAYs, and payloads %v of %v", goAways, data, sizes)
		}
		for i := range sizes {
			if data[i] != sizes[i] {
				t.Fatalf("payloads %v of %v", data, sizes)
			}
		}
	})
}
