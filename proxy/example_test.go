package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/seed-e3b9a99f/baton/proxy"
	"github.com/seed-e3b9a99f/baton/proxy/config"
)

func Example() {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	}))
	defer app.Close()
	c, err := config.FromFlags([]string{"http://127.0.0.1:0=" + strings.TrimPrefix(app.URL, "http://")})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	says, ready := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- proxy.Run(ctx, proxy.Options{Config: c, Stderr: io.Discard, Ready: ready}) }()

	line, _ := bufio.NewReader(says).ReadString('\n') // such as ready web=127.0.0.1:41234 pid=4711
	_, address, _ := strings.Cut(strings.Fields(line)[1], "=")
	resp, err := http.Get("http://" + address)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(body))

	stop()
	fmt.Println(<-done)
	// Output:
	// 200 hello
	// <nil>
}
