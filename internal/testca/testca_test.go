package testca_test

import (
	"crypto/x509"
	"testing"

	"github.com/seed-e3b9a99f/baton/internal/testca"
)

func TestIssue(t *testing.T) {
	ca, other := testca.New(t, "a"), testca.New(t, "b")
	leaf := ca.Issue(t, testca.Request{Names: []string{"a.test"}})
	if _, err := leaf.X509.Verify(x509.VerifyOptions{Roots: ca.Pool(), DNSName: "a.test"}); err != nil {
		t.Error(err)
	}
	if _, err := leaf.X509.Verify(x509.VerifyOptions{Roots: other.Pool()}); err == nil {
		t.Error("another CA vouches for it")
	}
}
