package upgrader

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// conversation is what a client of the pipelining test says on one connection.
type conversation struct {
	text string
	ends []int // where each request ends
	want []wanted
}

type wanted struct {
	method, body string
	continues    bool // 100 Continue comes first
}

func (c *conversation) add(text string, w wanted) {
	c.text += text
	c.ends = append(c.ends, len(c.text))
	c.want = append(c.want, w)
}

// converse returns one of everything; {conn} stands for the connection's number.
func converse(conn int) *conversation {
	c := &conversation{}
	id := func() string { return fmt.Sprintf("Host: x\r\nId: %d/%d\r\n", conn, len(c.want)) }
	c.add("GET / HTTP/1.1\r\n"+id()+"\r\n", wanted{method: "GET"})
	c.add("POST / HTTP/1.1\r\n"+id()+"Content-Length: 5\r\n\r\nhello", wanted{method: "POST", body: "hello"})
	c.add("\r\nPOST / HTTP/1.1\r\n"+id()+"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
		wanted{method: "POST", body: "abcde"}) // the CRLF that some clients send after a POST
	c.add("\r\nHEAD / HTTP/1.1\r\n"+id()+"\r\n", wanted{method: "HEAD"})
	c.add("PUT / HTTP/1.1\r\n"+id()+"Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
		wanted{method: "PUT", body: "ok", continues: true})
	c.add("GET / HTTP/1.1\r\n"+id()+"\r\n", wanted{method: "GET"})
	return c
}

// pipelining serves conversations, and counts how often each request was.
type pipelining struct {
	*ring
	mu   sync.Mutex
	seen map[string]int
}

func newPipelining(t *testing.T) *pipelining {
	p := &pipelining{seen: make(map[string]int)}
	p.ring = newRing(t, func(generation int) *http.Server {
		return &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			p.mu.Lock()
			p.seen[r.Header.Get("Id")]++
			p.mu.Unlock()
			w.Header().Set("Id", r.Header.Get("Id"))
			w.Header().Set("Generation", strconv.Itoa(generation))
			_, _ = w.Write(body)
		})}
	})
	return p
}

// play says the conversation, with a flip at each cut. Where it waits, what was asked before a cut is answered before
// the flip.
func (p *pipelining) play(number int, cuts []int, waits bool) error {
	talk := converse(number)
	c := p.dial()
	defer c.Close()
	r := bufio.NewReader(c)
	answered, from := 0, 0
	for _, cut := range append(cuts, len(talk.text)) {
		if _, err := io.WriteString(c, talk.text[from:cut]); err != nil {
			return err
		}
		if waits {
			for ; answered < len(talk.ends) && talk.ends[answered] <= cut; answered++ {
				if _, err := talk.read(r, number, answered); err != nil {
					return err
				}
			}
		}
		rests := waits && cut > 0 && (cut == talk.ends[max(answered-1, 0)])
		if cut == len(talk.text) {
			break
		}
		if rests {
			p.rest(c)
		}
		in := p.flip()
		from = cut
		if rests && answered < len(talk.want) { // it was idle: the next request is the next generation's
			if _, err := io.WriteString(c, talk.text[cut:talk.ends[answered]]); err != nil {
				return err
			}
			generation, err := talk.read(r, number, answered)
			if err != nil {
				return err
			}
			if generation != in {
				return fmt.Errorf("request %d: it was idle and stayed in generation %d", answered, generation)
			}
			from = talk.ends[answered]
			answered++
			if len(cuts) > 1 {
				return p.finish(c, r, talk, number, answered, from)
			}
		}
	}
	for ; answered < len(talk.want); answered++ {
		if _, err := talk.read(r, number, answered); err != nil {
			return err
		}
	}
	return p.once(number, talk)
}

// finish says the rest without a cut.
func (p *pipelining) finish(c net.Conn, r *bufio.Reader, talk *conversation, number, answered, from int) error {
	if _, err := io.WriteString(c, talk.text[from:]); err != nil {
		return err
	}
	for ; answered < len(talk.want); answered++ {
		if _, err := talk.read(r, number, answered); err != nil {
			return err
		}
	}
	return p.once(number, talk)
}

func (p *pipelining) once(number int, talk *conversation) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range talk.want {
		if n := p.seen[fmt.Sprintf("%d/%d", number, i)]; n != 1 {
			return fmt.Errorf("request %d was served %d times", i, n)
		}
	}
	return nil
}

// read takes the answer to request i, and returns which generation gave it.
func (c *conversation) read(r *bufio.Reader, number, i int) (int, error) {
	want := c.want[i]
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: want.method})
		if err != nil {
			return 0, fmt.Errorf("request %d: %w", i, err)
		}
		if resp.StatusCode == http.StatusContinue && want.continues {
			want.continues = false
			continue
		}
		body, err := io.ReadAll(resp.Body)
		if id := fmt.Sprintf("%d/%d", number, i); err != nil || resp.Header.Get("Id") != id || string(body) != want.body ||
			resp.StatusCode != 200 || resp.Close {
			return 0, fmt.Errorf("request %d: %s %q %q, %v, close: %v", i, resp.Status, resp.Header.Get("Id"), body, err, resp.Close)
		}
		return strconv.Atoi(resp.Header.Get("Generation"))
	}
}

// Requests are glued together, cut at every offset, and the connection is to move just there.
func TestPipeliningCutAtEveryOffset(t *testing.T) {
	t.Parallel()
	length := len(converse(100000).text)
	number := 100000
	for _, waits := range []bool{false, true} {
		t.Run(fmt.Sprintf("waits %v", waits), func(t *testing.T) {
			p := newPipelining(t)
			for cut := range length {
				number++
				if err := p.play(number, []int{cut}, waits); err != nil {
					t.Fatalf("cut at %d, before %q: %v", cut, converse(number).text[cut:min(cut+20, length)], err)
				}
			}
		})
	}
}

// The same with several cuts, on several connections at once, so that they flip under each other's hands.
func TestPipeliningCutAnyhow(t *testing.T) {
	t.Parallel()
	p := newPipelining(t)
	length := len(converse(100000).text)
	const clients, rounds = 4, 300
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(client)))
			for round := range rounds {
				var cuts []int
				for cut := random.IntN(length / 2); cut < length; cut += 1 + random.IntN(length/2) {
					cuts = append(cuts, cut)
				}
				number := 200000 + client*rounds + round
				if err := p.play(number, cuts, false); err != nil {
					t.Errorf("connection %d cut at %v: %v", number, cuts, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// A client that sends a CRLF after each POST is idle then, and moves.
func TestIdleAfterLineEndsMoves(t *testing.T) {
	t.Parallel()
	p := newPipelining(t)
	for ends := range 4 {
		c := p.dial()
		r := bufio.NewReader(c)
		for i := range 3 {
			number := 300000 + 10*ends + i
			text := fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nId: %d/0\r\nContent-Length: 2\r\n\r\nhi", number)
			talk := &conversation{want: []wanted{{method: "POST", body: "hi"}}}
			write(t, c, text+strings.Repeat("\r\n", 2)[:ends])
			if _, err := talk.read(r, number, 0); err != nil {
				t.Fatal(err)
			}
			p.rest(c)
			want := p.flip()
			number += 1000
			write(t, c, strings.Replace(text, "Id: 300", "Id: 301", 1))
			generation, err := talk.read(r, number, 0)
			if err != nil || generation != want {
				t.Fatalf("%d bytes of line ends: generation %d, want %d: %v", ends, generation, want, err)
			}
		}
	}
}
