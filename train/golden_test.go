package train

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/data/datatest"
	"nb201/internal/backend/devicetest"
	"nb201/internal/golden"
	"nb201/internal/needs"
	"nb201/internal/random"
	"nb201/internal/torchfile"
	"nb201/results"
	"nb201/train/checkpoint"
	"nb201/train/device"
)

// archName is an architecture in a vector file: an index or a string.
type archName string

func (a *archName) UnmarshalJSON(raw []byte) error {
	*a = archName(strings.Trim(string(raw), `"`))
	return nil
}

// in returns the architecture of a search space.
func (a archName) in(t testing.TB, space cell.Space) cell.Arch {
	t.Helper()
	arch, err := cell.Resolve(space, string(a))
	if err != nil {
		t.Fatal(err)
	}
	return arch
}

// eachSpace runs a test on the vectors of each search space.
func eachSpace(t *testing.T, test func(*testing.T, cell.Space)) { eachOf(t, cell.Spaces(), test) }

// eachOf runs a test on the vectors of search spaces.
func eachOf(t *testing.T, spaces []cell.Space, test func(*testing.T, cell.Space)) {
	for _, space := range spaces {
		t.Run(space.Name().String(), func(t *testing.T) { test(t, space) })
	}
}

func sha(values []float32) string {
	h := sha256.New()
	for _, v := range values {
		bits := math.Float32bits(v)
		h.Write([]byte{byte(bits), byte(bits >> 8), byte(bits >> 16), byte(bits >> 24)})
	}
	return hex.EncodeToString(h.Sum(nil))
}

// initCase is a case of init_fma.json or init_nofma.json, or of old_torch131.json, which names some
// fields otherwise and leaves out others.
type initCase struct {
	Arch     archName
	Seed     uint64
	Classes  int
	C, N     int                  // 0: those of the published skeleton
	XShape   []int                `json:"xshape"`              // nil: as published for the number of classes
	Keys     []string             `json:"state_keys_in_order"` // nil: another case has them
	OldKeys  []string             `json:"state_keys"`
	SHA256   map[string]string    `json:"sha256"` // by name, of all drawn tensors, or nil
	First8   map[string][]float32 // by name, of some
	All      string               `json:"sha256_all_float_tensors_in_state_dict_order"` // or ""
	Drawn    string               `json:"sha256_of_joined_hex"`                         // of all drawn tensors, or ""
	Stem     string
	Weight   string   `json:"classifier_weight"`
	Bias     string   `json:"classifier_bias"`
	Ones     bool     `json:"bn_weights_all_one"`
	Next4    []uint32 `json:"next4_u32_mod_2e24_after_get_model_infos"`
	OldNext4 []uint32 `json:"next4_u32_mod_2e24"`
}

// network returns the network of a case.
func (c initCase) network(t *testing.T, space cell.Space) cell.Network {
	t.Helper()
	n := cell.Network{Arch: c.Arch.in(t, space), Channels: c.C, Cells: c.N, Classes: c.Classes, Size: 32}
	if n.Channels == 0 {
		n.Channels, n.Cells = space.Skeleton()
	}
	switch {
	case c.XShape != nil:
		n.Size = c.XShape[2]
	case c.Classes == 120:
		n.Size = 16
	}
	return n
}

// check draws the initial weights of a case and compares them.
func (c initCase) check(t *testing.T, space cell.Space, profile random.Profile) {
	t.Helper()
	net := c.network(t, space)
	name := fmt.Sprintf("%s, %d classes, seed %d", net.Arch, c.Classes, c.Seed)
	generator := random.NewTorch(c.Seed)
	found, all, drawn := map[string]string{}, "", ""
	var keys []string
	roles := net.Tensors()
	for i, w := range InitialWeights(net, generator, profile) {
		keys = append(keys, w.Name)
		if w.Float32 == nil {
			continue
		}
		hash := sha(w.Float32)
		all += hash
		switch roles[i].Role {
		case cell.ConvWeight, cell.LinearWeight, cell.LinearBias:
			found[w.Name] = hash
			drawn += hash
		case cell.BNWeight:
			if c.Ones && !slices.Equal(w.Float32, slices.Repeat([]float32{1}, len(w.Float32))) {
				t.Errorf("%s: %s is not 1 throughout", name, w.Name)
			}
		}
		if want := c.First8[w.Name]; want != nil && !slices.Equal(w.Float32[:len(want)], want) {
			t.Errorf("%s: %s begins with %v, want %v", name, w.Name, w.Float32[:8], want)
		}
	}
	if c.SHA256 != nil && len(found) != len(c.SHA256) {
		t.Errorf("%s: %d tensors are drawn, want %d", name, len(found), len(c.SHA256))
	}
	for tensor, want := range c.SHA256 {
		if found[tensor] != want {
			t.Errorf("%s: %s differs", name, tensor)
		}
	}
	for _, want := range [][]string{c.Keys, c.OldKeys} {
		if want != nil && !slices.Equal(keys, want) {
			t.Errorf("%s: the names of the state dict differ", name)
		}
	}
	hashOf := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	for _, hash := range []struct{ what, got, want string }{
		{"all tensors", hashOf(all), c.All}, {"all drawn tensors", hashOf(drawn), c.Drawn},
		{"stem.0.weight", found["stem.0.weight"], c.Stem},
		{"classifier.weight", found["classifier.weight"], c.Weight}, {"classifier.bias", found["classifier.bias"], c.Bias},
	} {
		if hash.want != "" && hash.got != hash.want {
			t.Errorf("%s: the digest of %s differs", name, hash.what)
		}
	}
	skipModelInfo(net, generator)
	next := append(c.Next4, c.OldNext4...)
	if len(next) == 0 {
		t.Errorf("%s: the case does not say how the stream continues", name)
	}
	for _, w := range next {
		if got := generator.Uint32() & (1<<24 - 1); got != w {
			t.Errorf("%s: after get_model_infos the stream gives %d, want %d", name, got, w)
		}
	}
}

func TestGoldenInit(t *testing.T) {
	for file, fma := range map[string]bool{"init_fma.json": true, "init_nofma.json": false} {
		t.Run(file, func(t *testing.T) {
			eachSpace(t, func(t *testing.T, space cell.Space) {
				var vectors struct{ Cases []initCase }
				golden.Load(t, golden.Of(space.Name(), file), &vectors)
				for _, c := range vectors.Cases {
					c.check(t, space, random.Profile{FMA: fma})
				}
			})
		})
	}
}

func TestGoldenOldInit(t *testing.T) {
	profile, err := random.ProfileByName("2019")
	if err != nil {
		t.Fatal(err)
	}
	eachSpace(t, func(t *testing.T, space cell.Space) {
		var vectors struct{ Init []initCase }
		golden.Load(t, golden.Of(space.Name(), "old_torch131.json"), &vectors)
		for _, c := range vectors.Init {
			c.check(t, space, profile)
		}
	})
}

func TestGoldenLearningRate(t *testing.T) {
	eachSpace(t, func(t *testing.T, space cell.Space) {
		var vectors struct {
			LR map[string][]float64 `json:"lr"`
		}
		golden.Load(t, golden.Of(space.Name(), "misc.json"), &vectors)
		for schedule, rates := range vectors.LR {
			epochs, err := strconv.Atoi(schedule)
			if err != nil {
				t.Fatal(err)
			}
			if got := space.Schedule(epochs); got != schedule {
				t.Errorf("the schedule of %d epochs is %s, want %s", epochs, got, schedule)
			}
			recipe, err := configs.RecipeFor(epochs)
			if err != nil {
				t.Fatal(err)
			}
			for epoch, want := range rates {
				if got := recipe.LearningRates(epoch, 1)(0); got != want {
					t.Errorf("epoch %d of %s: learning rate %v, want %v", epoch, schedule, got, want)
				}
			}
		}
	})
}

// trajectory is a case of traj.json: the first steps of a training. A field that the vectors of one
// search space lack has the value that all of its cases share.
type trajectory struct {
	Name        archName `json:"arch"`
	Seed        uint32
	C, N, Batch int
	Images      int    `json:"n"`
	Key         string `json:"dataset_stats"` // of the dataset whose means, deviations and padding are used
	Classes     int
	Size        int `json:"hw"`
	DType       string
	Epochs      int          // of the schedule
	Steps       [][4]float64 // loss, top-1 count, top-5 count, learning rate
	BN          map[string]struct {
		Mean    []float64 `json:"running_mean"`
		Var     []float64 `json:"running_var"`
		Batches int64     `json:"num_batches_tracked"`
	}
	Eval struct {
		N, Batch   int
		Loss, Top1 float64
	}
	Weights        map[string][2]float64 `json:"final_weights"` // sum, sum of magnitudes
	Gradients      map[string][2]float64 `json:"first_step_grad"`
	ClassifierBias []float64             `json:"classifier_bias_final"`

	network cell.Network
}

// loadTrajectories loads the cases of a search space.
func loadTrajectories(t *testing.T, space cell.Space) []trajectory {
	t.Helper()
	var vectors struct{ Cases []trajectory }
	golden.Load(t, golden.Of(space.Name(), "traj.json"), &vectors)
	for i := range vectors.Cases {
		c := &vectors.Cases[i]
		c.Key, c.Classes, c.Size, c.Epochs = cmp.Or(c.Key, "cifar10"), cmp.Or(c.Classes, 10), cmp.Or(c.Size, 32), cmp.Or(c.Epochs, 12)
		c.network = cell.Network{Arch: c.Name.in(t, space), Channels: c.C, Cells: c.N, Classes: c.Classes, Size: c.Size}
	}
	return vectors.Cases
}

// isDeep reports whether a network has several cells per stage. Such a network takes minutes in float64,
// and magnifies rounding early.
func (c trajectory) isDeep() bool { return c.N > 1 }

func (c trajectory) name() string {
	return fmt.Sprintf("%s/N=%d/%s/%d-classes/%d-epochs/seed=%d", c.DType, c.N, c.network.Arch, c.Classes, c.Epochs, c.Seed)
}

// trial prepares the trial that a case followed: profile modern, no workers.
func (c trajectory) trial(t *testing.T) *trial {
	t.Helper()
	definition, err := data.Published(c.Key)
	if err != nil {
		t.Fatal(err)
	}
	definition.Augment.CropPadding = definition.Augment.CropPadding * c.Size / definition.Size[0]
	definition.Classes, definition.Size = c.Classes, [2]int{c.Size, c.Size}
	definition.Train, definition.Eval = data.SplitDefinition{From: "train", Order: data.Shuffle}, definition.Eval[:1]
	images := datatest.Synth(c.Images, c.Size, c.Classes, 1)
	set, err := data.New(definition, map[string]*data.Images{"train": images, "test": images})
	if err != nil {
		t.Fatal(err)
	}
	s := settings(c.C, c.N, c.Batch)
	s.Parity, s.Workers = "modern", 0
	if c.DType == "float64" {
		s.Precision = configs.FP64
	}
	recipe, err := s.Recipe(c.Epochs)
	if err != nil {
		t.Fatal(err)
	}
	arch := c.network.Arch
	config := Config{
		Network: c.network,
		Trial:   results.Trial{Space: arch.Space().Name(), Arch: arch.Index(), Dataset: c.Key, Epochs: c.Epochs, Seed: c.Seed},
		Recipe:  recipe, Settings: s, Data: set,
	}
	return trialOf(t, config)
}

// outcome holds the results of following a case.
type outcome struct {
	steps     [][4]float64
	gradients map[string][2]float64 // sum and sum of magnitudes, of the first step
	weights   torchfile.StateDict
	eval      *device.Meter
}

// follow runs a case's steps and evaluates the first images as the case does.
func (c trajectory) follow(t *testing.T, tr *trial) outcome {
	t.Helper()
	ctx := context.Background()
	var o outcome
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	step := tr.runner.Set.Whole
	device.Compile(step)
	defer step.Finalize()
	defer tr.close()
	check(tr.initialise())
	initial, err := step.Weights(tr.runner.State, 0)
	check(err)
	pass := func(epoch int, order data.Epoch) {
		tr.cursor.Position = checkpoint.Position{Epoch: epoch}
		check(tr.runner.Run(ctx, tr.deviceStage(&order), func(b device.Batch) error {
			o.steps = append(o.steps, [4]float64{b.Loss, float64(b.CorrectTop1), float64(b.CorrectTop5), tr.config.Recipe.LearningRates(epoch, 1)(0)})
			return nil
		}))
	}
	for epoch := 0; len(o.steps) < len(c.Steps); epoch++ {
		order := tr.config.Data.TrainEpoch(tr.streams, tr.augment, 0, c.Batch)
		order.Order = order.Order[:min(len(order.Order), (len(c.Steps)-len(o.steps))*c.Batch)]
		if epoch == 0 {
			first := order
			first.Order = order.Order[:c.Batch]
			pass(epoch, first)
			o.gradients = c.firstGradients(t, tr, initial)
			order.Order, order.Crops = order.Order[c.Batch:], order.Crops[c.Batch:]
		}
		if len(order.Order) > 0 {
			pass(epoch, order)
		}
	}
	o.weights, err = step.Weights(tr.runner.State, int64(len(c.Steps)))
	check(err)

	if c.Eval.N == 0 {
		return o
	}
	tr.config.Recipe.Batch = c.Eval.Batch
	tr.runner.Set = executables(t, tr.config)
	device.Compile(tr.runner.Set.Evaluate)
	defer tr.runner.Set.Evaluate.Finalize()
	order := data.Epoch{Order: make([]int32, c.Eval.N)}
	for i := range order.Order {
		order.Order[i] = int32(i)
	}
	tr.cursor.Position = checkpoint.Position{Stage: 1}
	o.eval = &device.Meter{}
	check(tr.runner.Run(ctx, tr.deviceStage(&order), func(b device.Batch) error {
		o.eval.Add(b)
		return nil
	}))
	return o
}

// firstGradients recovers the gradients of the first step from the momenta, which
// are then gradient + weight decay * initial parameter.
func (c trajectory) firstGradients(t *testing.T, tr *trial, initial torchfile.StateDict) map[string][2]float64 {
	t.Helper()
	momenta := momentaOf(t, tr)
	sums := map[string][2]float64{}
	for i, tensor := range tr.config.Network.Tensors() {
		if !tensor.Role.Trainable() {
			continue
		}
		before := numbers(initial[i].Tensor)
		gradient := numbers(momenta[i].Tensor)
		for k := range gradient {
			gradient[k] -= tr.config.Recipe.WeightDecay * before[k]
		}
		sums[tensor.Name] = sumsOf(gradient)
	}
	return sums
}

// momentaOf fetches the momenta of the parameters, in their places in the state dict.
func momentaOf(t *testing.T, tr *trial) torchfile.StateDict {
	t.Helper()
	var b bytes.Buffer
	if err := tr.runner.State.Write(&b); err != nil {
		t.Fatal(err)
	}
	bytesOf := 4
	if tr.config.Settings.Precision == configs.FP64 {
		bytesOf = 8
	}
	params := 0
	for _, tensor := range tr.config.Network.Tensors() {
		if tensor.Role.Trainable() {
			params += tensor.Len() * bytesOf
		}
	}
	copy(b.Bytes(), b.Bytes()[params:2*params]) // where the parameters are
	step := tr.runner.Set.Whole
	state, err := step.ReadState(&b)
	if err != nil {
		t.Fatal(err)
	}
	defer state.Finalize()
	momenta, err := step.Weights(state, 0)
	if err != nil {
		t.Fatal(err)
	}
	return momenta
}

func numbers(t *torchfile.Tensor) []float64 {
	if t.Float64 != nil {
		return slices.Clone(t.Float64)
	}
	out := make([]float64, len(t.Float32))
	for i, v := range t.Float32 {
		out[i] = float64(v)
	}
	return out
}

func sumsOf(values []float64) [2]float64 {
	var s [2]float64
	for _, v := range values {
		s[0] += v
		s[1] += math.Abs(v)
	}
	return s
}

// relative returns the relative error of got.
func relative(got, want float64) float64 { return math.Abs(got-want) / math.Abs(want) }

// bound returns the allowed relative error of a float64 value: 1e-12, or more where training
// magnifies rounding. How much it does so follows from the original: its own float32 run of the
// same case has drifted from float64 by what float32's rounding, 2^29 times as coarse as
// float64's, has become.
func bound(drift float64) float64 {
	const margin = 8
	return max(1e-12, margin*drift/(1<<29))
}

// bounds holds the bounds for a case: for the loss of each step, and at the end for the tensors,
// BatchNorm's statistics and the loss of the evaluation.
type bounds struct {
	steps                     []float64
	tensors, statistics, eval float64
}

// boundsBy takes the bounds from the float32 run of the case. Without one (nil) all are 1e-12, but
// for the statistics in the size search space. PyTorch sums a gradient over 65,536 values one by one, and the
// statistics, which unlike the loss depend on the length of weights, magnify what that rounds: they differ
// by 1.7e-11 after 24 steps. PyTorch's own move by 2e-12 if 1e-15 of each initial weight is added
// to it, and by 1.5e-10 with 1e-13.
func (c trajectory) boundsBy(twin *trajectory) bounds {
	b := bounds{steps: slices.Repeat([]float64{bound(0)}, len(c.Steps)), tensors: bound(0), statistics: bound(0), eval: bound(0)}
	if c.N == 0 {
		b.statistics = 1e-10
	}
	if twin == nil {
		return b
	}
	for i := range min(len(c.Steps), len(twin.Steps)) {
		b.steps[i] = bound(relative(twin.Steps[i][0], c.Steps[i][0]))
	}
	for name, want := range c.Weights {
		b.tensors = max(b.tensors, bound(math.Abs(twin.Weights[name][0]-want[0])/max(want[1], 1)))
	}
	for module, want := range c.BN {
		for i := range min(len(want.Var), len(twin.BN[module].Var)) {
			b.statistics = max(b.statistics,
				bound(math.Abs(twin.BN[module].Mean[i]-want.Mean[i])/max(1, math.Abs(want.Mean[i]), math.Sqrt(want.Var[i]))),
				bound(relative(twin.BN[module].Var[i], want.Var[i])))
		}
	}
	if c.Eval.N > 0 {
		b.eval = bound(relative(twin.Eval.Loss, c.Eval.Loss))
	}
	return b
}

// twin is the float32 run of a case.
func (c trajectory) twin(cases []trajectory) *trajectory {
	i := slices.IndexFunc(cases, func(d trajectory) bool {
		return d.DType == "float32" && d.network == c.network && d.Seed == c.Seed && d.Batch == c.Batch && d.Images == c.Images
	})
	if i < 0 {
		return nil
	}
	return &cases[i]
}

// The float64 trajectory shows whether the algorithm is right: everything agrees within 1e-12,
// except for magnified rounding (see bound). The same bound is used on a GPU, whose float64 is as
// exact. With -short there is one case for each size of images.
func TestGoldenTrajectoryFloat64(t *testing.T) {
	followed := map[int]bool{} // the sizes
	eachSpace(t, func(t *testing.T, space cell.Space) {
		cases := loadTrajectories(t, space)
		for _, c := range cases {
			if c.DType != "float64" || c.isDeep() && !needs.IsNightly() || !needs.IsLong() && (!c.isVaried() || followed[c.Size]) {
				continue
			}
			followed[c.Size] = true
			t.Run(c.name(), func(t *testing.T) {
				t.Parallel()
				var twin *trajectory
				if c.isDeep() { // otherwise 1e-12 holds throughout
					twin = c.twin(cases)
				}
				c.checkFloat64(t, c.boundsBy(twin))
			})
		}
	})
}

func (c trajectory) checkFloat64(t *testing.T, allowed bounds) {
	o := c.follow(t, c.trial(t))
	worst := 0.0
	for i, want := range c.Steps {
		d := relative(o.steps[i][0], want[0])
		if !(d <= allowed.steps[i]) {
			t.Errorf("step %d: loss off by %.2g relative, more than %.2g", i+1, d, allowed.steps[i])
		}
		worst = max(worst, d)
		if !slices.Equal(o.steps[i][1:], want[1:]) {
			t.Errorf("step %d: top-1, top-5 and learning rate %v, want %v", i+1, o.steps[i][1:], want[1:])
		}
	}
	for name, want := range c.Gradients {
		got := o.gradients[name]
		if d := math.Abs(got[0] - want[0]); !(d <= allowed.steps[0]*max(want[1], 1)) {
			t.Errorf("gradient of %s: sum off by %.2g (magnitudes %.2g)", name, d, want[1])
		}
	}
	for _, w := range o.weights {
		c.checkTensor(t, w, allowed)
	}
	t.Logf("losses of %d steps within %.2g relative", len(c.Steps), worst)
	if o.eval == nil {
		return
	}
	loss, top1, _ := o.eval.Averages()
	correct := func(percent float64) int { return int(math.Round(percent / 100 * float64(c.Eval.N))) }
	if !(relative(loss, c.Eval.Loss) <= allowed.eval) || correct(top1) != correct(c.Eval.Top1) {
		t.Errorf("evaluation: loss %v, top-1 %v; want %v, %v", loss, top1, c.Eval.Loss, c.Eval.Top1)
	}
}

// checkTensor compares a trained tensor with the sums in the case.
func (c trajectory) checkTensor(t *testing.T, w torchfile.NamedTensor, allowed bounds) {
	t.Helper()
	values := numbers(w.Tensor)
	if want, ok := c.Weights[w.Name]; ok {
		got := sumsOf(values)
		// A tensor whose gradient is mathematically zero holds rounding noise.
		if d := math.Abs(got[0] - want[0]); !(d <= allowed.tensors*max(want[1], 1)) {
			t.Errorf("%s: sum off by %.2g (magnitudes %.2g)", w.Name, d, want[1])
		}
	}
	if w.Name == "classifier.bias" {
		for i, want := range c.ClassifierBias {
			if d := math.Abs(values[i] - want); !(d <= allowed.tensors) {
				t.Errorf("%s[%d] off by %.2g", w.Name, i, d)
			}
		}
	}
	dot := strings.LastIndex(w.Name, ".")
	module, leaf := w.Name[:dot], w.Name[dot+1:]
	bn, ok := c.BN[module]
	if !ok {
		return
	}
	want := map[string][]float64{"running_mean": bn.Mean, "running_var": bn.Var}[leaf]
	for i, v := range want {
		// The error of a mean grows with the size of the values that it averages.
		scale := max(1, math.Abs(v), math.Sqrt(bn.Var[i]))
		if d := math.Abs(values[i] - v); !(d <= allowed.statistics*scale) {
			t.Errorf("%s[%d] off by %.2g", w.Name, i, d)
		}
	}
	if leaf == "num_batches_tracked" && w.Int64[0] != bn.Batches {
		t.Errorf("%s is %d, want %d", w.Name, w.Int64[0], bn.Batches)
	}
}

// The float32 trajectory shows whether the fast path is right, in its first step; later steps
// drift apart as those of two builds of torch do. A GPU is allowed ten times the CPU's rounding:
// cuDNN may use Winograd's algorithm, and variances are computed as E[x^2] - E[x]^2. With -short the networks have
// different layers in their cells.
func TestGoldenTrajectoryFloat32(t *testing.T) {
	first, early := 1e-6, 1e-3
	if devicetest.OnGPU(t) {
		first, early = 1e-5, 1e-2
	}
	eachSpace(t, func(t *testing.T, space cell.Space) {
		for _, c := range loadTrajectories(t, space) {
			if c.DType != "float32" || c.isDeep() && !needs.IsNightly() || !needs.IsLong() && !c.isVaried() {
				continue
			}
			t.Run(c.name(), func(t *testing.T) {
				t.Parallel()
				o := c.follow(t, c.trial(t))
				for i, want := range c.Steps {
					bound := 5e-2
					switch {
					case i == 0:
						bound = first
					case i < 3 && !c.isDeep():
						bound = early
					case i < 3:
						bound = 1e-2
					}
					d := relative(o.steps[i][0], want[0])
					if !(d <= bound) {
						t.Errorf("step %d: loss off by %.2g relative, more than %g", i+1, d, bound)
					}
					if i < 3 {
						t.Logf("step %d: loss off by %.2g relative", i+1, d)
					}
				}
			})
		}
	})
}
