package service_test

import (
	"fmt"
	"io"
	"net/http/httptest"
	"strings"

	"github.com/seed-e3b9a99f/baton/bench/baselines/service"
)

func ExampleHandler() {
	server := httptest.NewServer(service.Handler())
	defer server.Close()
	for _, answer := range []func() (string, error){
		func() (string, error) { return say(server, "GET", "") },
		func() (string, error) { return say(server, "POST", "echo\n") },
	} {
		text, err := answer()
		fmt.Print(text)
		if err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// ok
	// echo
}

func say(server *httptest.Server, method, body string) (string, error) {
	r := httptest.NewRequest(method, server.URL, strings.NewReader(body))
	r.RequestURI = ""
	answer, err := server.Client().Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}
