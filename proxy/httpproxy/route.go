package httpproxy

import (
	"cmp"
	"net"
	"path"
	"slices"
	"strings"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

// router finds the upstream of a request.
type router struct {
	exact    map[string][]prefix
	wildcard map[string][]prefix // by what follows the star, such as .example.com
	any      []prefix            // routes without hosts
	fallback string
}

// prefix is the routes of one host, the longest first.
type prefix struct {
	path     string // without a slash at its end
	upstream string
}

func newRouter(l config.Listener) *router {
	rt := &router{exact: make(map[string][]prefix), wildcard: make(map[string][]prefix), fallback: l.Upstream}
	for _, r := range l.Routes {
		p := prefix{strings.TrimRight(r.PathPrefix, "/"), r.Upstream}
		if len(r.Hosts) == 0 {
			rt.any = append(rt.any, p)
		}
		for _, host := range r.Hosts {
			host = strings.ToLower(host)
			if suffix, ok := strings.CutPrefix(host, "*"); ok {
				rt.wildcard[suffix] = append(rt.wildcard[suffix], p)
			} else {
				rt.exact[host] = append(rt.exact[host], p)
			}
		}
	}
	longest := func(a, b prefix) int { return cmp.Compare(len(b.path), len(a.path)) }
	for _, p := range rt.exact {
		slices.SortStableFunc(p, longest)
	}
	for _, p := range rt.wildcard {
		slices.SortStableFunc(p, longest)
	}
	slices.SortStableFunc(rt.any, longest)
	return rt
}

// find returns the upstream's name, or an empty one. A host whose routes do not take the path leaves it to the less
// exact ones.
func (rt *router) find(host, urlPath string) string {
	if len(rt.exact) == 0 && len(rt.wildcard) == 0 && len(rt.any) == 0 {
		return rt.fallback
	}
	host, urlPath = hostname(host), resolved(urlPath)
	if name, ok := take(rt.exact[host], urlPath); ok {
		return name
	}
	for rest := host; len(rt.wildcard) > 0; {
		dot := strings.IndexByte(rest, '.')
		if dot < 0 {
			break
		}
		if dot > 0 || rest != host { // the star stands for at least one letter
			if name, ok := take(rt.wildcard[rest[dot:]], urlPath); ok {
				return name
			}
		}
		rest = rest[dot+1:]
	}
	if name, ok := take(rt.any, urlPath); ok {
		return name
	}
	return rt.fallback
}

func take(prefixes []prefix, urlPath string) (string, bool) {
	for _, p := range prefixes {
		rest, ok := strings.CutPrefix(urlPath, p.path)
		if ok && (rest == "" || rest[0] == '/' || p.path == "") {
			return p.upstream, true
		}
	}
	return "", false
}

// resolved is the path that servers make of one with dots or doubled slashes: nobody gets round a route with /a/../b.
func resolved(urlPath string) string {
	if strings.Contains(urlPath, "//") || strings.Contains(urlPath, "/.") {
		return path.Clean(urlPath)
	}
	return urlPath
}

// hostname is the host of a Host field, in lower case, without port and final dot.
func hostname(host string) string {
	if strings.IndexByte(host, ':') >= 0 {
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
