package upstream

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

// anyLoad is the load that rotate takes for "whatever".
const anyLoad = -1

// choose returns the server whose turn it is, or nil if none is free. It holds the pool's lock.
func (p *Pool) choose(source netip.Addr, tried []*Server) *Server {
	switch {
	case p.cfg.Balance == config.LeastConn:
		return p.rotate(tried, p.leastLoad(tried))
	case p.cfg.Balance == config.SourceHash && source.IsValid():
		return p.hashed(source, tried)
	default:
		return p.rotate(tried, anyLoad)
	}
}

// rotate gives turns to the free servers that have the given load. Each of them earns one credit, and the richest pays
// what was earned. Unlike an index that steps over those that are out, which gives their turns to their neighbours,
// this shares them out evenly, and a server that comes back neither has turns to make up for nor must wait.
func (p *Pool) rotate(tried []*Server, load int64) *Server {
	var richest *Server
	earned := 0
	for _, s := range p.servers {
		if !s.free(tried) || load != anyLoad && s.active.Load() != load {
			continue
		}
		s.credit++
		earned++
		if richest == nil || s.credit > richest.credit {
			richest = s
		}
	}
	if richest != nil {
		richest.credit -= earned
	}
	return richest
}

// leastLoad returns how many connections the free server with the fewest has.
func (p *Pool) leastLoad(tried []*Server) int64 {
	least := int64(anyLoad)
	for _, s := range p.servers {
		if load := s.active.Load(); s.free(tried) && (least == anyLoad || load < least) {
			least = load
		}
	}
	return least
}

// hashed is rendezvous hashing: each pair of source and server has a score, and the free server with the highest wins.
// A server that goes takes only its own sources with it, and gets them back when it returns. Scores are the same in
// every process, so that upgrades and other proxies of a fleet agree.
func (p *Pool) hashed(source netip.Addr, tried []*Server) *Server {
	var best *Server
	var highest uint64
	seed := hashAddr(source)
	for _, s := range p.servers {
		if !s.free(tried) {
			continue
		}
		if score := scatter(seed ^ s.hash); best == nil || score > highest {
			best, highest = s, score
		}
	}
	return best
}

func hashText(text string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(text))
	return scatter(h.Sum64())
}

// hashAddr makes no difference between an IPv4 address and the same one mapped into IPv6, which is how a dual-stack
// listener shows it. Zones do not count.
func hashAddr(addr netip.Addr) uint64 {
	bytes := addr.As16()
	return scatter(scatter(binary.BigEndian.Uint64(bytes[:8])) ^ binary.BigEndian.Uint64(bytes[8:]))
}

// scatter is the finalizer of splitmix64: https://prng.di.unimi.it/splitmix64.c
func scatter(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
