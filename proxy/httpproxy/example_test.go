package httpproxy_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/config"
	"github.com/seed-e3b9a99f/baton/proxy/httpproxy"
	"github.com/seed-e3b9a99f/baton/proxy/upstream"
)

func Example() {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "hello %s, you asked %s", r.Header.Get("X-Forwarded-For"), r.URL.Path)
	}))
	defer app.Close()

	cfg := config.Upstream{
		Servers: []string{app.Listener.Addr().String()}, Balance: config.RoundRobin,
		ConnectTimeout: time.Second, ResponseTimeout: time.Minute, MaxIdle: 16, Retries: 1,
	}
	pool, err := upstream.New("app", cfg, upstream.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()

	listener := config.Listener{Name: "web", Upstream: "app"}
	done := make(chan httpproxy.Exchange, 1)
	handler := httpproxy.New(httpproxy.Options{
		Listener:  listener,
		Upstreams: map[string]httpproxy.Upstream{"app": {Pool: pool, Config: cfg}},
		Observe:   func(e httpproxy.Exchange) { done <- e },
	})
	defer handler.Close()

	proxy := httptest.NewUnstartedServer(nil)
	proxy.Config = httpproxy.Server(listener, handler, nil)
	proxy.Start()
	defer proxy.Close()

	res, err := proxy.Client().Get(proxy.URL + "/greeting")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	fmt.Println(string(body))
	e := <-done
	fmt.Println(e.Upstream, e.Method, e.Status, e.BytesOut, e.Retries)
	// Output:
	// hello 127.0.0.1, you asked /greeting
	// app GET 200 36 0
}
