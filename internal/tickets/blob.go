package tickets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// A blob is the magic, a version, the number of keys, and each key: seconds since 1970, nanoseconds, secret.
const (
	blobMagic   = "BTK"
	blobVersion = 1
	blobHeader  = len(blobMagic) + 2
	blobKey     = 8 + 4 + 32
)

// The years that a key's time may lie in, so that no arithmetic on it overflows.
var (
	firstSecond = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	lastSecond  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
)

// Export returns the keys as a blob for Import, in this release or another. It holds secrets. Keys of others that have
// not issued yet are left out, since nobody has a ticket of theirs.
func (r *Ring) Export() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := r.keys[r.issuing:]
	blob := append([]byte(blobMagic), blobVersion, byte(len(keys)))
	for _, k := range keys {
		blob = binary.BigEndian.AppendUint64(blob, uint64(k.From.Unix()))
		blob = binary.BigEndian.AppendUint32(blob, uint32(k.From.Nanosecond()))
		blob = append(blob, k.Secret[:]...)
	}
	return blob
}

// Import puts the keys that Export returned in the place of the ring's, which it then rotates as its own. Of more than
// it keeps it takes the newest. An error means that the ring is as it was.
func (r *Ring) Import(blob []byte, now time.Time) error {
	keys, err := parseBlob(blob)
	if err != nil {
		return fmt.Errorf("import ticket keys: %w; clients need a full handshake each, nothing else is lost", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys, r.shared = keys[:min(len(keys), r.keep)], false
	r.advance(now)
	r.applyAll()
	return nil
}

func parseBlob(blob []byte) ([]Key, error) {
	if len(blob) < blobHeader || string(blob[:len(blobMagic)]) != blobMagic {
		return nil, errors.New("these bytes are no ticket keys")
	}
	if v := blob[len(blobMagic)]; v != blobVersion {
		return nil, fmt.Errorf("version %d is not known, only %d is", v, blobVersion)
	}
	count, rest := int(blob[len(blobMagic)+1]), blob[blobHeader:]
	if count < 1 || count > Max {
		return nil, fmt.Errorf("%d keys are not from 1 to %d", count, Max)
	}
	if len(rest) != count*blobKey {
		return nil, fmt.Errorf("%d keys take %d bytes, there are %d", count, count*blobKey, len(rest))
	}
	keys := make([]Key, count)
	for i := range keys {
		b := rest[i*blobKey:][:blobKey]
		sec, nsec := int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint32(b[8:])
		if sec < firstSecond || sec > lastSecond || nsec >= 1e9 {
			return nil, fmt.Errorf("key %d of %d has an impossible time", i+1, count)
		}
		keys[i].From = time.Unix(sec, int64(nsec))
		copy(keys[i].Secret[:], b[12:])
		if i > 0 && keys[i].From.After(keys[i-1].From) {
			return nil, fmt.Errorf("key %d of %d is newer than the one before it", i+1, count)
		}
	}
	return keys, nil
}
