package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"nb201/internal/httpload"
	"nb201/internal/usage"
)

// serveOptions holds the flags of serve.
type serveOptions struct {
	smallCampaign
	rounds, clients int
	every           time.Duration
}

func newServeCommand() *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:   "serve",
		Short: "Measure how much nb201 serve and its clients slow down a campaign",
		Long: `serve trains a small campaign of random architectures with nb201 run, in turns: alone, and with
nb201 serve and clients on this host. Each client receives the stream of events, and asks for the
status, the trials and an architecture at a bounded rate. All turns train the same trials with programs
that were compiled before. The clients compete for the same cores; the table lists their CPU time.`,
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := o.measure(c.Context())
			return errors.Join(err, t.publish(&o.common))
		},
	}
	o.addFlags(c, 2, "777,888")
	f := c.Flags()
	f.IntVar(&o.rounds, "rounds", 3, "`TURNS` of each kind")
	f.IntVar(&o.clients, "clients", 100, "`NUMBER` of clients")
	f.DurationVar(&o.every, "every", 500*time.Millisecond, "least `TIME` between two requests of a client")
	check := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if o.archsWanted < 1 || o.archsWanted > 1000 || o.epochs < 1 || o.rounds < 1 || o.clients < 1 || o.every <= 0 {
			return usage.Errorf("--archs %d, --epochs %d, --rounds %d, --clients %d, --every %v: must be above 0, and --archs at most 1000", o.archsWanted, o.epochs, o.rounds, o.clients, o.every)
		}
		return check(c, args)
	}
	return c
}

// serveRow is a row of the table: turns of a kind.
type serveRow struct {
	Clients int       `json:"clients"` // 0: without nb201 serve
	Rate    Spread    `json:"trials_per_hour"`
	Turns   []float64 `json:"turns"` // seconds
	CPU     Spread    `json:"cpu_seconds"`
	// Of all turns with clients.
	Answers    int     `json:"answers"`
	Events     int     `json:"events"`
	Latency99  Spread  `json:"latency_99_percent_seconds"`
	ServerCPU  Spread  `json:"server_cpu_seconds"`
	ClientsCPU Spread  `json:"clients_cpu_seconds"`
	ServerRSS  []int64 `json:"server_peak_rss"`
}

var serveColumns = []column[serveRow]{
	{"clients", func(r serveRow) string { return strconv.Itoa(r.Clients) }},
	{"trials/h", func(r serveRow) string { return r.Rate.String() }},
	{"CPU-s a turn", func(r serveRow) string { return r.CPU.String() }},
	{"answers", func(r serveRow) string { return figure("%.0f", float64(r.Answers)) }},
	{"events", func(r serveRow) string { return figure("%.0f", float64(r.Events)) }},
	{"99 % of answers within, s", func(r serveRow) string { return r.Latency99.String() }},
	{"CPU-s of serve", func(r serveRow) string { return r.ServerCPU.String() }},
	{"CPU-s of the clients", func(r serveRow) string { return r.ClientsCPU.String() }},
	{"peak RSS of serve, GiB", func(r serveRow) string { return gib(slices.Max(append(r.ServerRSS, 0))) }},
}

// serveTurn holds the costs of a turn.
type serveTurn struct {
	campaign   Cost
	seen       httpload.Result
	serve      Cost
	serveRSS   int64
	clientsCPU float64
}

// measure makes the table. With an error it returns the turns that have ended so far.
func (o *serveOptions) measure(ctx context.Context) (t *table[serveRow], err error) {
	t = newTable("serve", &o.common, serveColumns)
	defer func() { t.Partial = err != nil }()
	t.addVersions(goVersions())
	program, dir, err := o.prepare()
	defer os.RemoveAll(dir)
	if err != nil {
		return t, err
	}
	trials := o.trials()
	t.Title = fmt.Sprintf("A campaign of %d trials on %s, %d epochs, alone and with nb201 serve and clients on the same host, each with a stream of events and a request every %v: medians (extremes) of %d turns.",
		trials, o.dataset, o.epochs, o.every, o.rounds)
	logf("a turn that compiles, and does not count")
	if _, err := o.turn(ctx, program, dir, 0); err != nil {
		return t, err
	}
	turns := map[int][]serveTurn{}
	for round := range o.rounds {
		order := []int{0, o.clients}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, clients := range order {
			turn, err := o.turn(ctx, program, dir, clients)
			if err != nil {
				return t, err
			}
			logf("turn %d of %d with %d clients took %.1f s", round+1, o.rounds, clients, turn.campaign.Seconds)
			turns[clients] = append(turns[clients], turn)
		}
		rows := []serveRow{newServeRow(0, trials, turns[0]), newServeRow(o.clients, trials, turns[o.clients])}
		if err := t.show(&o.common, rows); err != nil {
			return t, err
		}
	}
	var ratios []float64
	for i, turn := range turns[o.clients] {
		ratios = append(ratios, turns[0][i].campaign.Seconds/turn.campaign.Seconds)
	}
	ratio := spreadOf(ratios)
	t.Summary = map[string]Spread{"rate_with_clients": ratio}
	t.Notes = append(t.Notes, fmt.Sprintf("With %d clients, the campaign's rate is %s of that alone, over %d pairs of turns.", o.clients, ratio, o.rounds))
	return t, nil
}

// newServeRow returns the row of the turns with a number of clients.
func newServeRow(clients, trials int, turns []serveTurn) serveRow {
	r := serveRow{Clients: clients}
	spread := func(figure func(serveTurn) float64) Spread {
		var all []float64
		for _, t := range turns {
			all = append(all, figure(t))
		}
		return spreadOf(all)
	}
	r.Rate = spread(func(t serveTurn) float64 { return float64(trials) * 3600 / t.campaign.Seconds })
	r.CPU = spread(func(t serveTurn) float64 { return t.campaign.CPU })
	r.Latency99 = spread(func(t serveTurn) float64 { return t.seen.Quantile(0.99).Seconds() })
	r.ServerCPU = spread(func(t serveTurn) float64 { return t.serve.CPU })
	r.ClientsCPU = spread(func(t serveTurn) float64 { return t.clientsCPU })
	for _, t := range turns {
		r.Turns = append(r.Turns, t.campaign.Seconds)
		r.Answers += len(t.seen.Latencies)
		r.Events += t.seen.Events
		if clients > 0 {
			r.ServerRSS = append(r.ServerRSS, t.serveRSS)
		}
	}
	return r
}

// turn plans the campaign again and trains it from the start, with a number of clients meanwhile.
func (o *serveOptions) turn(ctx context.Context, program, dir string, clients int) (t serveTurn, err error) {
	campaign := filepath.Join(dir, "campaign")
	if err := os.RemoveAll(campaign); err != nil {
		return t, err
	}
	if err := o.plan(ctx, program, campaign); err != nil {
		return t, err
	}
	end := func() error { return nil }
	if clients > 0 {
		if end, err = o.watch(ctx, program, campaign, &t); err != nil {
			return t, err
		}
	}
	_, t.campaign, _, err = o.runToEnd(ctx, o.run(program, dir, campaign))
	return t, errors.Join(err, end())
}

// watch starts nb201 serve and the clients. The returned function ends both, and completes t.
func (o *serveOptions) watch(ctx context.Context, program, campaign string, t *serveTurn) (end func() error, err error) {
	c := inGroup(exec.CommandContext(ctx, program, "serve", campaign, "--listen", "127.0.0.1:0"))
	stdout, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		return nil, err
	}
	base, err := httpload.ReadLink(stdout)
	if err != nil {
		return nil, errors.Join(err, c.Cancel(), c.Wait())
	}
	archs := o.archs()
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	before := cpuSeconds()
	go func() {
		var err error
		t.seen, err = httpload.Load{
			Clients: o.clients, Every: o.every, Stream: "/api/v1/events", Path: func(random *rand.Rand) string {
				paths := []string{"/api/v1/status", "/api/v1/trials", "/api/v1/architectures/" + archs[random.IntN(len(archs))]}
				return paths[random.IntN(len(paths))]
			},
			Accept: []int{404, 503}, // of an architecture without a finished trial, and before anything is read
		}.Run(working, base)
		ended <- err
	}()
	return func() error {
		stop()
		err := <-ended
		t.clientsCPU = cpuSeconds() - before
		if t.seen.Silent > 0 {
			err = errors.Join(err, fmt.Errorf("%d clients received no event", t.seen.Silent))
		}
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait() // it ends with the signal
		state := c.ProcessState
		t.serve.CPU = (state.UserTime() + state.SystemTime()).Seconds()
		t.serveRSS = maxRSS(state.SysUsage())
		return err
	}, nil
}
