package demo

import (
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
)

// What the demo serves.
func Example() {
	server := httptest.NewServer(handler(3))
	defer server.Close()
	resp, err := server.Client().Post(server.URL, "text/plain", strings.NewReader("hello"))
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.Header.Get(GenerationHeader), string(body))
	// Output: 3 hello
}
