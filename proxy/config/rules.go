package config

import (
	"math"
	"slices"
)

// rule is what holds for one key, wherever it stands, beside what its type says. The schema is made from the same
// rules.
type rule struct {
	required bool
	hint     string   // what to give
	noun     string   // what oneOf lists
	oneOf    []string // the only values
	min, max float64  // of a number; a max of 0 is none
	positive bool     // a duration: 0 is no value
	whole    bool     // a duration: in whole seconds
	// text turns what was written into what is meant, or says what is wrong with it. Files are relative to folder.
	text func(folder, s string) (meant, problem string)
}

const (
	addressHint  = "give HOST:PORT, :PORT or unix:/path"
	serverHint   = "give HOST:PORT or unix:/path"
	upstreamHint = "give the name of one of upstreams"
	certHint     = "give the path of a PEM file"
	networkHint  = "give networks such as 10.0.0.0/8"
	hostsHint    = "give host names such as www.example.com or *.example.com"
)

// rules are by pattern: the path of a key with [] for an index and * for a name.
var rules = map[string]rule{
	"pid_file":  {text: filePath},
	"listeners": {required: true, hint: "give at least one"},

	"admin.socket":  {text: socketFile},
	"admin.metrics": {text: metricsAddress},

	"upgrade.ready_timeout":   {positive: true},
	"upgrade.drain_timeout":   {positive: true},
	"upgrade.max_generations": {min: 2},

	"reload.signal": {text: signalName, hint: "give " + anyOf(signals)},

	"log.level":  {noun: "log level", oneOf: []string{"debug", "info", "warn", "error"}},
	"log.format": {noun: "log format", oneOf: []string{"text", "json"}},
	"log.access": {max: 1},

	"maintenance.page":          {text: filePath},
	"maintenance.retry_after":   {whole: true},
	"maintenance.health_path":   {text: urlPath},
	"maintenance.health_status": {min: 200, max: 599},

	"ticket_keys.file":     {text: filePath},
	"ticket_keys.lifetime": {positive: true},
	"ticket_keys.keep":     {min: 1, max: 100},

	"listeners[].name":         {required: true, hint: "give a name that stays when the address changes", text: nameText},
	"listeners[].address":      {required: true, hint: addressHint, text: listenAddress},
	"listeners[].protocol":     {required: true, noun: "protocol", oneOf: []string{"http", "tcp", "tls-passthrough"}},
	"listeners[].upstream":     {hint: upstreamHint},
	"listeners[].peek_timeout": {positive: true},

	"listeners[].routes[].hosts":       {hint: hostsHint},
	"listeners[].routes[].hosts[]":     {hint: hostsHint, text: hostPattern},
	"listeners[].routes[].path_prefix": {text: pathPrefix},
	"listeners[].routes[].sni":         {hint: hostsHint},
	"listeners[].routes[].sni[]":       {hint: hostsHint, text: namePattern},
	"listeners[].routes[].upstream":    {required: true, hint: upstreamHint},

	"listeners[].tls.certificates":          {required: true, hint: "give at least one, with cert and key"},
	"listeners[].tls.certificates[].cert":   {required: true, hint: certHint, text: filePath},
	"listeners[].tls.certificates[].key":    {required: true, hint: certHint, text: filePath},
	"listeners[].tls.certificates[].staple": {text: filePath},
	"listeners[].tls.client_ca":             {text: filePath},
	"listeners[].tls.min_version":           {noun: "TLS version", oneOf: []string{"1.2", "1.3"}},
	"listeners[].tls.alpn[]":                {text: alpnName},
	"listeners[].tls.interval":              {positive: true},
	"listeners[].tls.hosts[].names":         {required: true, hint: hostsHint},
	"listeners[].tls.hosts[].names[]":       {hint: hostsHint, text: namePattern},
	"listeners[].tls.hosts[].client_ca":     {text: filePath},
	"listeners[].tls.hosts[].min_version":   {noun: "TLS version", oneOf: []string{"1.2", "1.3"}},

	"listeners[].proxy_protocol.trusted":   {required: true, hint: networkHint},
	"listeners[].proxy_protocol.trusted[]": {hint: networkHint},
	"listeners[].proxy_protocol.timeout":   {positive: true},

	"listeners[].http.read_header_timeout": {positive: true},
	"listeners[].http.max_header_bytes":    {min: 4096, max: math.MaxInt32},

	"upstreams":                     {required: true, hint: "give at least one, such as app: {servers: [127.0.0.1:9000]}"},
	"upstreams.*":                   {hint: "give servers, such as {servers: [127.0.0.1:9000]}"},
	"upstreams.*.servers":           {required: true, hint: serverHint},
	"upstreams.*.servers[]":         {hint: serverHint, text: serverAddress},
	"upstreams.*.balance":           {noun: "way to balance", oneOf: []string{"round_robin", "least_conn", "source_hash"}},
	"upstreams.*.protocol":          {noun: "protocol of servers", oneOf: []string{"http1", "h2c"}},
	"upstreams.*.connect_timeout":   {positive: true},
	"upstreams.*.proxy_protocol":    {min: 1, max: 2},
	"upstreams.*.health.path":       {text: urlPath},
	"upstreams.*.health.host":       {text: hostHeader},
	"upstreams.*.health.status":     {min: 200, max: 599},
	"upstreams.*.health.interval":   {positive: true},
	"upstreams.*.health.timeout":    {positive: true},
	"upstreams.*.health.fall":       {min: 1},
	"upstreams.*.health.rise":       {min: 1},
	"upstreams.*.ejection.duration": {positive: true},
}

func init() {
	for pattern, r := range rules {
		if r.hint == "" && r.oneOf != nil {
			r.hint = "give " + anyOf(r.oneOf)
			rules[pattern] = r
		}
	}
}

// signals can ask for a reload. The others mean something already, to the proxy, to Go's runtime or to a shell.
var signals = []string{"ALRM", "IO", "QUIT", "TTIN", "TTOU", "WINCH"}

var takenSignals = map[string]string{
	"HUP": "starts an upgrade", "TERM": "stops the proxy", "INT": "stops the proxy",
	"USR1": "begins maintenance", "USR2": "ends maintenance", "KILL": "cannot be caught", "STOP": "cannot be caught",
}

func signalName(_, s string) (string, string) {
	switch taken := takenSignals[s]; {
	case slices.Contains(signals, s):
		return s, ""
	case len(s) > 3 && s[:3] == "SIG":
		return "", quoted(s) + " begins with SIG: leave that out"
	case taken != "":
		return "", quoted(s) + " is taken, it " + taken + ": give " + anyOf(signals)
	}
	return "", quoted(s) + " is no signal for this: give " + anyOf(signals)
}
