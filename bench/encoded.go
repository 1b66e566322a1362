package bench

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"sync"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Histogram is a histogram of times in microseconds in HdrHistogram's V2 compressed form, in base64, as every tool of
// that family reads it. "" is an empty one.
type Histogram string

// Decode returns the histogram itself, which the caller may change. Its values are microseconds.
func (h Histogram) Decode() (*hdrhistogram.Histogram, error) {
	if h == "" {
		return newHistogram().Histogram, nil
	}
	got, err := hdrhistogram.Decode([]byte(h))
	if err != nil {
		return nil, fmt.Errorf("decode histogram: %w", err)
	}
	return got, nil
}

// The two marks of the form, which say that counts are in LEB128.
const (
	plainCookie      = uint32(hdrhistogram.V2EncodingCookieBase | 0x10)
	compressedCookie = uint32(hdrhistogram.V2CompressedEncodingCookieBase | 0x10)
)

var compressors = sync.Pool{New: func() any {
	w, err := zlib.NewWriterLevel(nil, zlib.BestCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	return w
}}

// encode does what Histogram.EncodeV2 does, with compressors that are used again: a new one takes more than a megabyte,
// and an hour of many lanes has tens of thousands of histograms.
func encode(h histogram) Histogram {
	if h.TotalCount() == 0 {
		return ""
	}
	payload := encodeCounts(h.Export().Counts)
	plain := binary.BigEndian.AppendUint32(nil, plainCookie)
	plain = binary.BigEndian.AppendUint32(plain, uint32(len(payload)))
	plain = binary.BigEndian.AppendUint32(plain, 0) // no normalising offset
	plain = binary.BigEndian.AppendUint32(plain, uint32(h.SignificantFigures()))
	plain = binary.BigEndian.AppendUint64(plain, uint64(h.LowestTrackableValue()))
	plain = binary.BigEndian.AppendUint64(plain, uint64(h.HighestTrackableValue()))
	plain = binary.BigEndian.AppendUint64(plain, math.Float64bits(1)) // values are whole numbers
	plain = append(plain, payload...)

	var packed bytes.Buffer
	packed.Write(make([]byte, 8)) // for the cookie and the length
	z := compressors.Get().(*zlib.Writer)
	defer compressors.Put(z)
	z.Reset(&packed)
	z.Write(plain) // into a bytes.Buffer, where nothing fails
	z.Close()
	out := packed.Bytes()
	binary.BigEndian.PutUint32(out, compressedCookie)
	binary.BigEndian.PutUint32(out[4:], uint32(len(out)-8))
	return Histogram(base64.StdEncoding.EncodeToString(out))
}

// encodeCounts writes counts up to the last that is not 0, and a run of zeros as the negative of its length.
func encodeCounts(counts []int64) (payload []byte) {
	zeros := int64(0)
	for _, n := range counts {
		if n == 0 {
			zeros++
			continue
		}
		if zeros == 1 {
			payload = binary.AppendVarint(payload, 0)
		} else if zeros > 1 {
			payload = binary.AppendVarint(payload, -zeros)
		}
		zeros = 0
		payload = binary.AppendVarint(payload, n)
	}
	return payload
}
