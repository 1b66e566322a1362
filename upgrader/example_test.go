package upgrader_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"

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
