//go:build unix

package upgrader_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/seed-e3b9a99f/baton/upgrader"
)

// A service in one call. Here it ends itself after its first request.
func ExampleRun() {
	if os.Getenv(envExample) == "" { // one process has one Upgrader: run it in one of its own
		fmt.Print(runExample("ExampleRun"))
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	opts := upgrader.Options{Logger: slog.New(slog.DiscardHandler)}
	err := upgrader.Run(ctx, opts, func(u *upgrader.Upgrader) error {
		ln, err := u.ListenNamed("web", "tcp", "127.0.0.1:0", upgrader.HTTP)
		if err != nil {
			return err
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "generation %d", u.Generation())
			cancel()
		})}
		u.Go(func() error { return u.Serve(srv, ln) })
		go func() {
			resp, err := http.Get("http://" + ln.Addr().String())
			if err != nil {
				log.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			http.DefaultClient.CloseIdleConnections()
			fmt.Println(string(body))
		}()
		return nil
	})
	fmt.Println("exit", upgrader.ExitCode(err))
	// Output:
	// generation 1
	// exit 0
}

// A protocol of one's own: accept until net.ErrClosed, and close every connection in the end. The drain waits for both.
func ExampleUpgrader_Go() {
	if os.Getenv(envExample) == "" {
		fmt.Print(runExample("ExampleUpgrader_Go"))
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	opts := upgrader.Options{Logger: slog.New(slog.DiscardHandler)}
	err := upgrader.Run(ctx, opts, func(u *upgrader.Upgrader) error {
		ln, err := u.ListenNamed("echo", "tcp", "127.0.0.1:0", upgrader.TCP)
		if err != nil {
			return err
		}
		u.Go(func() error {
			for {
				c, err := ln.Accept()
				if err != nil {
					return err
				}
				go func() {
					defer c.Close()
					_, _ = io.Copy(c, c)
				}()
			}
		})
		go func() {
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				log.Fatal(err)
			}
			defer c.Close()
			cancel() // the service stops, and still answers
			fmt.Fprintln(c, "hello")
			line, _ := bufio.NewReader(c).ReadString('\n')
			fmt.Print(line)
		}()
		return nil
	})
	fmt.Println("exit", upgrader.ExitCode(err))
	// Output:
	// hello
	// exit 0
}

// A protocol of one's own whose sessions move: each counts the lines of its client, and goes on counting in the next
// generation. The example upgrades itself once: all its output is the client's.
func ExampleUpgrader_SendParcel() {
	if os.Getenv(envExample) == "" {
		fmt.Print(runExample("ExampleUpgrader_SendParcel"))
		return
	}
	opts := upgrader.Options{Logger: slog.New(slog.DiscardHandler), Probation: upgrader.NoProbation}
	err := upgrader.Run(context.Background(), opts, func(u *upgrader.Upgrader) error {
		moving := make(chan struct{})
		serve := func(c net.Conn, count byte) { // until the client hangs up, or the session has moved
			defer c.Close()
			go func() {
				<-moving
				_ = c.SetReadDeadline(time.Now()) // between two lines, where a session is a socket and a number
			}()
			for line := make([]byte, 1); ; { // a byte at a time: what was read ahead would have to move as well
				_, err := c.Read(line)
				if errors.Is(err, os.ErrDeadlineExceeded) {
					_ = c.SetReadDeadline(time.Time{})
					if send(u, c, count) == nil {
						return
					}
					continue // it stays here
				}
				if err != nil {
					return
				}
				if line[0] == '\n' {
					count++
					fmt.Fprintf(c, "line %d, says generation %d\n", count, u.Generation())
				}
			}
		}
		err := u.OnParcel("session", func(p upgrader.Parcel) error {
			c, err := net.FileConn(p.Files[0])
			if err != nil {
				return err // refused: the sender goes on with it
			}
			p.Files[0].Close()
			u.Go(func() error {
				serve(c, p.Data[0])
				return nil
			})
			return nil
		})
		if err != nil {
			return err
		}
		u.OnHandover(func() { close(moving) }) // a program that lives on after a rollback makes a new one

		ln, err := u.ListenNamed("counter", "tcp", "127.0.0.1:0", upgrader.TCP)
		if err != nil {
			return err
		}
		u.Go(func() error {
			for {
				c, err := ln.Accept()
				if err != nil {
					return err
				}
				go serve(c, 0)
			}
		})
		if u.HasParent() {
			return nil
		}
		go func() { // the client
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				log.Fatal(err)
			}
			defer c.Close()
			answers := bufio.NewReader(c)
			for range 3 {
				fmt.Fprintln(c, "hello")
				line, _ := answers.ReadString('\n')
				fmt.Print(line)
				if u.Generation() == 1 && u.Phase() == upgrader.Serving {
					if err := u.Upgrade(); err != nil {
						log.Fatal(err)
					}
				}
			}
			_ = syscall.Kill(u.ChildPID(), syscall.SIGTERM)
		}()
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// line 1, says generation 1
	// line 2, says generation 2
	// line 3, says generation 2
}

// send moves a session. The parcel holds a duplicate of the connection, which stays usable if it is refused.
func send(u *upgrader.Upgrader, c net.Conn, count byte) error {
	file, err := c.(*upgrader.TrackedConn).NetConn().(*net.TCPConn).File()
	if err != nil {
		return err
	}
	defer file.Close()
	return u.SendParcel(upgrader.Parcel{Kind: "session", Data: []byte{count}, Files: []*os.File{file}})
}

const envExample = "BATON_TEST_EXAMPLE"

// runExample runs an example in a process of its own and returns what it prints.
func runExample(name string) string {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envExample+"="+name)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%v\n%s", err, out)
	}
	return string(out)
}
