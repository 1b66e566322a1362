// Package original is a program as its README tells users of tableflip to write it. It stands here twice, with and without
// the import path replaced, so that a test can upgrade one to the other.
package original

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	tableflip "github.com/cloudflare/tableflip"
)

// Main serves HTTP on address until the process was replaced or stopped.
func Main(address, pidFile string) error {
	upg, err := tableflip.New(tableflip.Options{PIDFile: pidFile, UpgradeTimeout: 20 * time.Second})
	if err != nil {
		return err
	}
	defer upg.Stop()

	go func() {
		sig := make(chan os.Signal, 1)
		signal.Notify(sig, syscall.SIGHUP)
		for range sig {
			if err := upg.Upgrade(); err != nil {
				log.Println("upgrade failed:", err)
			}
		}
	}()
	go func() {
		sig := make(chan os.Signal, 1)
		signal.Notify(sig, syscall.SIGTERM)
		<-sig
		upg.Stop()
	}()

	ln, err := upg.Fds.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("can't listen: %w", err)
	}
	fmt.Fprintf(os.Stderr, `{"msg":"bound","name":"web","addr":%q,"inherited":%v}`+"\n", ln.Addr(), upg.HasParent())

	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Generation", fmt.Sprint(os.Getpid()))
		_, _ = io.Copy(w, r.Body)
	})}
	go func() {
		if err := server.Serve(ln); err != http.ErrServerClosed {
			log.Println("HTTP server:", err)
		}
	}()
	if err := upg.Ready(); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, `{"msg":"flip ready","pid":%d}`+"\n", os.Getpid())
	<-upg.Exit()

	time.AfterFunc(30*time.Second, func() {
		log.Println("graceful shutdown timed out")
		os.Exit(1)
	})
	return server.Shutdown(context.Background())
}
