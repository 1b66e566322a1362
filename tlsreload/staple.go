package tlsreload

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ocsp"
)

// stapleInfo is what an OCSP response says.
type stapleInfo struct {
	next    time.Time // when there will be a newer one; zero for not known
	revoked bool
}

// parseStaple checks that the response in der is about the leaf of chain.
func parseStaple(der []byte, chain [][]byte) (stapleInfo, error) {
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return stapleInfo{}, err
	}
	var issuer *x509.Certificate
	if len(chain) > 1 {
		if issuer, err = x509.ParseCertificate(chain[1]); err != nil {
			return stapleInfo{}, err
		}
	}
	response, err := ocsp.ParseResponseForCert(der, leaf, issuer)
	if err != nil {
		return stapleInfo{}, err
	}
	if response.SerialNumber.Cmp(leaf.SerialNumber) != 0 {
		return stapleInfo{}, fmt.Errorf("it is about serial %x, and the certificate is %s", response.SerialNumber, serial(leaf))
	}
	switch response.Status {
	case ocsp.Good:
	case ocsp.Revoked:
		return stapleInfo{next: response.NextUpdate, revoked: true}, nil
	default:
		return stapleInfo{}, errors.New("it does not know the certificate")
	}
	return stapleInfo{next: response.NextUpdate}, nil
}
