package upgrader

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/seed-e3b9a99f/baton/upgrader/internal/control"
)

// What is answered to a parcel that is not received, when it is not the receiver's own reason.
const (
	noReceiver = "no receiver"
	isLeaving  = "leaving"
)

var errLeaving = errors.New("upgrader: the next generation is ending itself")

// arrival is a parcel that waits to be received.
type arrival struct {
	from   *control.Conn
	id     uint64
	parcel Parcel
}

// arrive takes in a parcel. It does not wait for the receiver, so that signals can be heard meanwhile; the sender's
// window bounds what waits here. A parcel that has lost its files is refused.
func (p *parcels) arrive(from *control.Conn, m control.Message, lost error) error {
	id, parcel, err := parseParcel(m.Payload)
	if err != nil {
		closeFiles(m.Files)
		return err
	}
	if lost != nil {
		closeFiles(m.Files)
		return answerParcel(from, id, lost.Error())
	}
	parcel.Files = m.Files
	a := arrival{from, id, parcel}
	if parcel.Kind == kindHTTP { // one may wait until its listener is served, and the order does not matter
		go p.deliver(a)
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.arrived = append(p.arrived, a)
	if !p.busy {
		p.busy = true
		go p.work()
	}
	return nil
}

// work delivers one parcel after the other, until none is left.
func (p *parcels) work() {
	for {
		p.mu.Lock()
		if len(p.arrived) == 0 {
			p.busy, p.arrived = false, nil
			p.mu.Unlock()
			return
		}
		a := p.arrived[0]
		p.arrived[0], p.arrived = arrival{}, p.arrived[1:]
		p.mu.Unlock()
		p.deliver(a)
	}
}

// deliver passes a parcel to its receiver, and answers. A sender that has gone needs no answer.
func (p *parcels) deliver(a arrival) {
	reason := p.receive(a.parcel)
	if reason != "" {
		closeFiles(a.parcel.Files)
	}
	_ = answerParcel(a.from, a.id, reason)
}

// receive returns why a parcel is refused, or "".
func (p *parcels) receive(parcel Parcel) string {
	select {
	case <-p.charged: // the parent hears of it first
	case <-p.ended:
	}
	p.mu.Lock()
	receive := p.receivers[parcel.Kind]
	p.mu.Unlock()
	if receive == nil {
		return noReceiver
	}
	p.receiving.RLock()
	defer p.receiving.RUnlock()
	select {
	case <-p.ended:
		return isLeaving
	default:
	}
	if p.leaving.Load() {
		return isLeaving
	}
	if err := receive(parcel); err != nil {
		return "refused: " + err.Error()
	}
	return ""
}

// settle waits for what is being received. What comes after leave, or the end, is refused: nothing comes behind the back
// of those who hand over, or count.
func (p *parcels) settle() {
	p.receiving.Lock()
	//lint:ignore SA2001 whoever holds it is what is waited for
	p.receiving.Unlock()
}

// maxReason bounds what is said about a refusal.
const maxReason = 1 << 10

func answerParcel(to *control.Conn, id uint64, reason string) error {
	reason = reason[:min(len(reason), maxReason)]
	answer := append(binary.BigEndian.AppendUint64(nil, id), reason...)
	return to.Send(control.Message{Kind: control.ParcelAck, Payload: answer})
}

func appendParcel(b []byte, id uint64, p Parcel) []byte {
	b = binary.BigEndian.AppendUint64(b, id)
	b = binary.AppendUvarint(b, uint64(len(p.Kind)))
	return append(append(b, p.Kind...), p.Data...)
}

func parseParcel(b []byte) (uint64, Parcel, error) {
	if len(b) < 8 {
		return 0, Parcel{}, fmt.Errorf("%w: a parcel of %d bytes", control.ErrFrame, len(b))
	}
	id := binary.BigEndian.Uint64(b)
	size, n := binary.Uvarint(b[8:])
	if n <= 0 || size > uint64(len(b)-8-n) {
		return 0, Parcel{}, fmt.Errorf("%w: a parcel without its kind", control.ErrFrame)
	}
	rest := b[8+n:]
	return id, Parcel{Kind: string(rest[:size]), Data: rest[size:]}, nil
}
