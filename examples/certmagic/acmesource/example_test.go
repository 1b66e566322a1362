package acmesource_test

import (
	"context"
	"fmt"

	"github.com/caddyserver/certmagic"

	"github.com/seed-e3b9a99f/baton/examples/certmagic/acmesource"
	"github.com/seed-e3b9a99f/baton/tlsreload"
)

func ExampleNew() {
	var config *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return config, nil },
	})
	defer cache.Stop()
	config = certmagic.New(cache, certmagic.Config{Storage: &certmagic.FileStorage{Path: "no-such-folder"}})
	source := acmesource.New(config, "www.example.com")

	// Here a server calls config.ManageSync, which is not for an example that is to run offline.
	_, err := tlsreload.Check(context.Background(), tlsreload.Options{Sources: []tlsreload.Source{source}})
	fmt.Println(err)
	// Output: www.example.com: certmagic has no certificate for www.example.com yet: its log says what keeps it
}
