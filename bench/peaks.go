package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/internal/backend"
	"nb201/internal/infile"
	"nb201/internal/outfile"
	"nb201/internal/usage"
)

// Peaks holds the measured peak rates of a device.
type Peaks struct {
	Bandwidth float64 `json:"bytes_per_second"` // memory bytes read and written in a[i] = b[i] + s c[i]
	FLOP      float64 `json:"flop_per_second"`  // in a large matrix product; a multiply-add counts 2
}

func (p Peaks) String() string {
	return fmt.Sprintf("memory %.4g GB/s, arithmetic %.3g TFLOP/s", p.Bandwidth/1e9, p.FLOP/1e12)
}

// Limit is the least time of a step that the device's memory and arithmetic allow, summed over the
// passes of its layers.
type Limit struct {
	Bytes      float64 `json:"bytes"` // moved by a step: see [cell.Passes]
	GFLOP      float64 `json:"gflop"` // of a step
	Seconds    float64 `json:"seconds"`
	Arithmetic float64 `json:"arithmetic_seconds"` // the part of Seconds in passes bound by arithmetic
}

// byArithmetic returns the share of the time in passes bound by arithmetic.
func (l Limit) byArithmetic() float64 {
	if l.Seconds == 0 { // no pass moves anything
		return 0
	}
	return l.Arithmetic / l.Seconds
}

// limit returns the limit of a step with the given passes. A pass takes the longer of the times for
// its bytes and for its FLOP. A pass that moves nothing can be omitted by a compiler and takes none.
func (p Peaks) limit(passes cell.Passes) Limit {
	var l Limit
	for _, pass := range passes {
		l.Bytes += pass.Bytes()
		l.GFLOP += pass.FLOP / 1e9
		switch moving, computing := pass.Bytes()/p.Bandwidth, pass.FLOP/p.FLOP; {
		case moving == 0:
		case computing > moving:
			l.Arithmetic += computing
			l.Seconds += computing
		default:
			l.Seconds += moving
		}
	}
	return l
}

// training returns the limit of a training step.
func (p Peaks) training(n cell.Network, o *common) Limit {
	return p.limit(n.TrainingPasses(o.batch, o.elementBytes()))
}

// evaluation returns the limit of the evaluation of a batch.
func (p Peaks) evaluation(n cell.Network, o *common) Limit {
	return p.limit(n.EvaluationPasses(o.batch, o.elementBytes()))
}

// addPeaks adds the flag --peaks for commands that need the Peaks of the device.
func (o *common) addPeaks(c *cobra.Command) {
	c.Flags().StringVar(&o.peaksFile, "peaks", "", "`FILE` in which to keep the device's measured bandwidth and arithmetic for other tables")
}

// addGiven adds the flags that give Peaks: both or neither.
func addGiven(c *cobra.Command, given *Peaks) {
	f := c.Flags()
	f.Float64Var(&given.Bandwidth, "bandwidth", 0, "`BYTES` per second that the memory moves, such as 3e12")
	f.Float64Var(&given.FLOP, "flop", 0, "`FLOP` per second that the device computes, such as 60e12; a multiply-add counts 2")
	check := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if c.Flags().Changed("bandwidth") || c.Flags().Changed("flop") {
			for _, rate := range []float64{given.Bandwidth, given.FLOP} {
				if !(rate > 0) || math.IsInf(rate, 0) {
					return usage.Errorf("--bandwidth %v, --flop %v: use both, with values above 0, or neither", given.Bandwidth, given.FLOP)
				}
			}
		}
		return check(c, args)
	}
}

// keptPeaks is an element of the array in the file of --peaks.
type keptPeaks struct {
	Device    string `json:"device"` // the value of --device, and the model
	Precision string `json:"precision"`
	Peaks     Peaks  `json:"peaks"`
}

// peaks returns the peaks of the device: from the file of --peaks, or measured in a separate process
// and added to the file.
func (o *common) peaks(ctx context.Context) (Peaks, error) {
	described := describeMachine(o.device)
	k := keptPeaks{Device: o.device + ", " + described[len(described)-1], Precision: o.precision}
	all, err := o.readPeaks()
	if err != nil {
		return k.Peaks, err
	}
	for _, kept := range all {
		if kept.Device == k.Device && kept.Precision == k.Precision {
			return kept.Peaks, nil
		}
	}
	var kept *outfile.Output
	if o.peaksFile != "" {
		// readPeaks found an earlier output there, or no file.
		if kept, err = outfile.Check(o.peaksFile, outfile.Rules{Force: true, Regular: true}); err != nil {
			return k.Peaks, err
		}
	}
	logf("measuring the device's memory bandwidth and arithmetic")
	if _, err := o.runInner(ctx, "peaks", peaksTask{o.device, o.precision, o.elementBytes()}, &k.Peaks); err != nil || kept == nil {
		return k.Peaks, err
	}
	return k.Peaks, kept.Write(ctx, func(w io.Writer) error {
		return json.NewEncoder(w).Encode(append(all, k))
	})
}

// readPeaks reads the file of --peaks, if given; the file need not exist.
func (o *common) readPeaks() (all []keptPeaks, err error) {
	if o.peaksFile == "" {
		return nil, nil
	}
	text, err := infile.Read(o.peaksFile, infile.MaxText)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, usage.Errorf("--peaks: %w", err)
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, usage.Errorf("--peaks: %s: %w; remove the file", o.peaksFile, err)
	}
	return all, nil
}

// runInner runs a hidden command of this program in a separate process, and decodes its answer.
func (o *common) runInner(ctx context.Context, command string, task, answer any, env ...string) (Memory, error) {
	self, err := os.Executable()
	if err != nil {
		return Memory{}, err
	}
	text, err := json.Marshal(task)
	if err != nil {
		return Memory{}, err
	}
	out, _, memory, err := o.runToEnd(ctx, job{
		name: command, command: []string{self, command}, env: environment(env...), stdin: text, device: o.device, limit: o.sideLimit,
	})
	if err != nil {
		return memory, err
	}
	return memory, json.Unmarshal(out, answer)
}

// peaksTask is the task of measurePeaks.
type peaksTask struct {
	Device       string `json:"device"`
	Precision    string `json:"precision"`
	ElementBytes int    `json:"element_bytes"`
}

// measurePeaks is the hidden command that measures the Peaks of a device. It takes the best of several
// tries, because disturbances can only slow them down.
func measurePeaks(_ context.Context, in io.Reader, out io.Writer) error {
	var task peaksTask
	if err := json.NewDecoder(in).Decode(&task); err != nil {
		return err
	}
	opened, err := openDevice(task.Device, task.Precision)
	if err != nil {
		return err
	}
	defer opened.Backend.Finalize()
	side, elements := 2<<10, 64<<20 // for a CPU
	if task.Device != "cpu" {
		side, elements = 8<<10, 256<<20
	}
	dtype := dtypes.Float32
	if task.ElementBytes == 2 {
		dtype = dtypes.BFloat16
	}
	var p Peaks
	if err := backend.Catch(func() error {
		p.FLOP = bestProduct(opened.Backend, dtype, side)
		p.Bandwidth = bestTriad(opened.Backend, elements)
		return nil
	}); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(p)
}

// bestProduct returns the FLOP per second of products of n x n matrices.
func bestProduct(b compute.Backend, dtype dtypes.DType, n int) float64 {
	const products = 4
	matrix := shapes.Make(dtype, n, n)
	seconds := leastSeconds(b, matrix, matrix, products, func(x, y *Node) *Node { return Einsum("ij,jk->ik", x, y) })
	return products * 2 * float64(n) * float64(n) * float64(n) / seconds
}

// bestTriad returns the bytes per second of a[i] = b[i] + s c[i] over arrays of n float32, including a
// sum at the end.
func bestTriad(b compute.Backend, n int) float64 {
	const passes = 8
	array := shapes.Make(dtypes.Float32, n)
	seconds := leastSeconds(b, array, array, passes, func(x, y *Node) *Node { return Add(x, MulScalar(y, 0.5)) })
	return (3*passes + 1) * float64(array.ByteSize()) / seconds
}

// leastSeconds returns the least time, over several tries, of computing x = f(x, y) the given number
// of times and fetching the sum of x. Each computation is a program that reads its operands from
// memory and writes its result there.
func leastSeconds(b compute.Backend, x, y shapes.Shape, times int, f func(x, y *Node) *Node) float64 {
	compiled := func(name string, build func(g *Graph) *Node) *Graph {
		g := NewGraph(b, name)
		if err := g.Compile(build(g)); err != nil {
			panic(err)
		}
		return g
	}
	ones := func(shape shapes.Shape) *tensors.Tensor {
		g := compiled("ones", func(g *Graph) *Node { return Ones(g, shape) })
		defer g.Finalize()
		return g.Run()[0]
	}
	pass := compiled("pass", func(g *Graph) *Node { return f(Parameter(g, "x", x), Parameter(g, "y", y)) })
	defer pass.Finalize()
	sum := compiled("sum", func(g *Graph) *Node {
		return ReduceAllSum(ConvertDType(Parameter(g, "x", x), dtypes.Float32))
	})
	defer sum.Finalize()
	first, second := ones(x), ones(y)
	defer first.MustFinalizeAll()
	defer second.MustFinalizeAll()

	const tries = 5
	least := math.Inf(1)
	for range 1 + tries { // the first one is for warming up
		began := time.Now()
		at := first
		for range times {
			next := pass.Run(at, second)[0]
			if at != first {
				at.MustFinalizeAll()
			}
			at = next
		}
		total := sum.Run(at)[0]
		tensors.MustCopyFlatData[float32](total)
		least = min(least, time.Since(began).Seconds())
		total.MustFinalizeAll()
		at.MustFinalizeAll()
	}
	return least
}
