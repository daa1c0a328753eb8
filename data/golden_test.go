package data_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/data/datatest"
	"nb201/internal/golden"
	"nb201/internal/random"
)

// meta identifies the torch version that made a vector file.
type meta struct {
	Torch string `json:"torch"`
}

// profile returns the parity profile of that version.
func (m meta) profile(t *testing.T) random.Profile {
	t.Helper()
	var major, minor int
	if _, err := fmt.Sscanf(m.Torch, "%d.%d", &major, &minor); err != nil {
		t.Fatalf("torch version %q: %v", m.Torch, err)
	}
	name := "modern"
	if major == 1 && minor <= 5 {
		name = "2019"
	} else if major == 1 && minor <= 8 {
		name = "1.7"
	}
	p, err := random.ProfileByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// sha returns the SHA-256 of values as little-endian bytes.
func sha(values any) string {
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, values); err != nil {
		panic(err)
	}
	sum := sha256.Sum256(b.Bytes())
	return hex.EncodeToString(sum[:])
}

// orderCase is an entry of the timeline of a vector file, which old_torch131.json calls its order.
type orderCase struct {
	Kind     string
	Seed     uint32
	Arch     int
	Variant  configs.Timeline // empty means dec2019
	Workers  *int             // nil means those of the original's launch script
	Channels int              `json:"C"`
	Cells    int              `json:"N"`
	Epochs   []map[string]struct {
		BaseSeed int64 `json:"base_seed"`
		N        int
		Batches  int
		First64  []int32
		First16  []int32
		Last4    []int32
		SHA256   string
	}
}

// publishedSplits returns the stored splits of a published key, for drawing orders.
var publishedSplits = map[string]struct{ classes, size, train, test int }{
	"cifar10-valid":  {10, 32, 50000, 10000},
	"cifar10":        {10, 32, 50000, 10000},
	"cifar100":       {100, 32, 50000, 10000},
	"ImageNet16-120": {120, 16, 151700, 6000},
}

// unseen returns images without pixels, which orders do not need.
func unseen(n, size int) *data.Images { return &data.Images{Labels: make([]int32, n), Size: size} }

// unseenSplits returns the stored splits of a published key without pixels.
func unseenSplits(key string) map[string]*data.Images {
	sizes := publishedSplits[key]
	return map[string]*data.Images{"train": unseen(sizes.train, sizes.size), "test": unseen(sizes.test, sizes.size)}
}

// checkOrders checks the orders in a vector file of each search space. TestConformanceFullSize checks that
// files have images for them.
func checkOrders(t *testing.T, file string) {
	for _, space := range cell.Spaces() {
		t.Run(space.Name().String(), func(t *testing.T) {
			var vectors struct {
				Meta            meta
				Timeline, Order []orderCase
			}
			golden.Load(t, golden.Of(space.Name(), file), &vectors)
			checkOrdersOf(t, space, vectors.Meta, append(vectors.Timeline, vectors.Order...))
		})
	}
}

func checkOrdersOf(t *testing.T, space cell.Space, m meta, cases []orderCase) {
	for key := range publishedSplits {
		stored := unseenSplits(key)
		ran := false
		for _, c := range cases {
			if c.Kind == key {
				ran = true
				name := fmt.Sprintf("%s-%d-%d-%s", c.Kind, c.Arch, c.Seed, c.Variant)
				t.Run(name, func(t *testing.T) { checkOrder(t, space, c, stored, m.profile(t)) })
			}
		}
		if !ran {
			t.Errorf("no orders of %s", key)
		}
	}
}

// checkOrder checks the orders that are drawn for the stored splits of a published key.
func checkOrder(t *testing.T, space cell.Space, c orderCase, stored map[string]*data.Images, profile random.Profile) {
	sizes := publishedSplits[c.Kind]
	if c.Variant == "" {
		c.Variant = configs.Dec2019
	}
	workers := 4
	if c.Workers != nil {
		workers = *c.Workers
	}
	d, err := data.Published(c.Kind)
	if err != nil {
		t.Fatal(err)
	}
	ds, err := data.New(d.ForTimeline(c.Variant), stored)
	if err != nil {
		t.Fatal(err)
	}

	// The trial draws the initial network and the random image of get_model_infos before
	// its first loader.
	arch, err := space.ByIndex(c.Arch)
	if err != nil {
		t.Fatal(err)
	}
	net := cell.Network{Arch: arch, Classes: sizes.classes, Size: sizes.size}
	channels, cells := space.Skeleton()
	net.Channels, net.Cells = cmp.Or(c.Channels, channels), cmp.Or(c.Cells, cells)
	streams := data.NewStreams(c.Seed, profile)
	for _, tensor := range net.Tensors() {
		switch tensor.Role {
		case cell.ConvWeight, cell.LinearWeight, cell.LinearBias:
			streams.Torch.Skip(tensor.Len())
		}
	}
	streams.Torch.Skip(3 * sizes.size * sizes.size)

	for epoch, want := range c.Epochs {
		got := map[string]data.Epoch{"train": ds.TrainEpoch(streams, ds.Augment, workers, 256)}
		splits := map[string]data.Split{"train": ds.Train}
		for i, s := range ds.Eval {
			got[s.Name], splits[s.Name] = ds.EvalEpoch(streams, i), s
		}
		if g, w := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(g, w) {
			t.Fatalf("epoch %d goes through %v, want %v", epoch, g, w)
		}
		for set, w := range want {
			e := got[set]
			if e.BaseSeed != w.BaseSeed || len(e.Order) != w.N || sha(e.Order) != w.SHA256 {
				t.Errorf("epoch %d, %s: base seed %d, %d images %v..., want %d, %d, %v%v...",
					epoch, set, e.BaseSeed, len(e.Order), e.Order[:4], w.BaseSeed, w.N, w.First64, w.First16)
			}
			for _, first := range [][]int32{w.First64, w.First16} {
				if !slices.Equal(e.Order[:len(first)], first) {
					t.Errorf("epoch %d, %s: order starts %v, want %v", epoch, set, e.Order[:len(first)], first)
				}
			}
			if last := e.Order[len(e.Order)-len(w.Last4):]; !slices.Equal(last, w.Last4) {
				t.Errorf("epoch %d, %s: order ends %v, want %v", epoch, set, last, w.Last4)
			}
			s := splits[set]
			if b := s.Batches(256); w.Batches != 0 && b != w.Batches {
				t.Errorf("epoch %d, %s: %d batches, want %d", epoch, set, b, w.Batches)
			}
		}
	}
}

func TestGoldenOrder(t *testing.T) { checkOrders(t, "order.json") }

func TestGoldenOldOrder(t *testing.T) { checkOrders(t, "old_torch131.json") }

// augCase is a case of aug.json and of old_torch131.json's aug.
type augCase struct {
	Stats    string `json:"dataset_stats"`
	Seed     uint32
	Workers  int
	N        int
	Batch    int
	DataSeed uint64 `json:"data_seed"`
	Epochs   []struct {
		BaseSeed int64 `json:"base_seed"`
		Batches  []struct {
			SHA256 string
			Labels string `json:"labels_sha256"`
			First8 []float32
			Sum    *float64
		}
		TestBatch0   string `json:"test_batch0_sha256"`
		TestBaseSeed int64  `json:"test_base_seed"`
	}
}

func checkAugs(t *testing.T, m meta, cases []augCase) {
	for _, c := range cases {
		keys := []string{c.Stats}
		if c.Stats == "cifar10" {
			keys = append(keys, "cifar10-valid")
		}
		for _, key := range keys {
			name := fmt.Sprintf("%s-%d-workers%d-n%d", key, c.Seed, c.Workers, c.N)
			t.Run(name, func(t *testing.T) { checkAug(t, c, key, m.profile(t)) })
		}
	}
}

func checkAug(t *testing.T, c augCase, key string, profile random.Profile) {
	d, err := data.Published(key)
	if err != nil {
		t.Fatal(err)
	}
	// The published definition and files, except for the number of images, all of which are
	// trained on and evaluated in order.
	d.Images = data.Counts{}
	d.Train = data.SplitDefinition{From: "train", Order: data.Shuffle}
	d.Eval = d.Eval[:1]
	images := datatest.Synth(c.N, d.Size[0], 10, c.DataSeed)
	root := t.TempDir()
	writeFiles(t, filepath.Join(root, d.Path), d.Format, images, images)
	ds, err := d.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	pixels := make([]float32, c.Batch*3*ds.Size*ds.Size)
	labels := make([]int32, c.Batch)
	// planes of a batch in torch's layout: image, channel, row, column.
	planes := func(split *data.Split, e *data.Epoch, from, to int) []float32 {
		datatest.Fill(ds, pixels, labels, split, e, from, to)
		area := ds.Size * ds.Size
		planes := make([]float32, (to-from)*3*area)
		for i := range to - from {
			for k := range 3 * area {
				planes[i*3*area+k%3*area+k/3] = pixels[i*3*area+k]
			}
		}
		return planes
	}

	streams := data.NewStreams(c.Seed, profile)
	for epoch, want := range c.Epochs {
		e := ds.TrainEpoch(streams, ds.Augment, c.Workers, c.Batch)
		if e.BaseSeed != want.BaseSeed {
			t.Fatalf("epoch %d: base seed %d, want %d", epoch, e.BaseSeed, want.BaseSeed)
		}
		k := 0
		for from, to := range datatest.Batches(&e, c.Batch) {
			if k == len(want.Batches) {
				break
			}
			w := want.Batches[k]
			got := planes(&ds.Train, &e, from, to)
			if sha(got) != w.SHA256 || !slices.Equal(got[:len(w.First8)], w.First8) {
				t.Errorf("epoch %d, batch %d starts %v: not the original's, which starts %v", epoch, k, got[:8], w.First8)
			}
			if sha(labels[:to-from]) != w.Labels {
				t.Errorf("epoch %d, batch %d: the labels are not the original's", epoch, k)
			}
			if w.Sum != nil {
				sum := 0.0
				for _, p := range got {
					sum += float64(p)
				}
				if math.Abs(sum-*w.Sum) > 1e-6*math.Abs(*w.Sum) {
					t.Errorf("epoch %d, batch %d sums to %v, want %v", epoch, k, sum, *w.Sum)
				}
			}
			k++
		}
		if k < len(want.Batches) {
			t.Errorf("epoch %d has %d batches, want at least %d", epoch, k, len(want.Batches))
		}
		if want.TestBatch0 == "" {
			continue // no evaluation in these vectors
		}
		e = ds.EvalEpoch(streams, 0)
		if e.BaseSeed != want.TestBaseSeed {
			t.Errorf("epoch %d: evaluation's base seed is %d, want %d", epoch, e.BaseSeed, want.TestBaseSeed)
		}
		if got := planes(&ds.Eval[0], &e, 0, min(c.Batch, c.N)); sha(got) != want.TestBatch0 {
			t.Errorf("epoch %d: evaluation batch 0 is not the original's", epoch)
		}
	}
}

func TestGoldenAug(t *testing.T) {
	var vectors struct {
		Meta  meta
		Cases []augCase
	}
	golden.Load(t, "aug.json", &vectors)
	checkAugs(t, vectors.Meta, vectors.Cases)
}

func TestGoldenOldAug(t *testing.T) {
	var vectors struct {
		Meta meta
		Aug  []augCase
	}
	golden.Load(t, "old_torch131.json", &vectors)
	checkAugs(t, vectors.Meta, vectors.Aug)
}

func TestGoldenSynth(t *testing.T) {
	var vectors struct {
		Data map[string]string `json:"data_sha256"`
	}
	golden.Load(t, "aug.json", &vectors)
	for name, want := range vectors.Data {
		var n, size int
		var seed uint64
		var got any
		if _, err := fmt.Sscanf(name, "labels_hw%d", &size); err == nil {
			got = datatest.Synth(2048, size, 10, 1).Labels
		} else if _, err := fmt.Sscanf(name, "n%d_hw%d_seed%d", &n, &size, &seed); err == nil {
			got = datatest.Synth(n, size, 10, seed).Pixels
		} else {
			t.Fatalf("%s: %v", name, err)
		}
		if sha(got) != want {
			t.Errorf("%s: not the generator's", name)
		}
	}
}

func TestGoldenSplits(t *testing.T) {
	var vectors struct {
		Splits map[string]string
	}
	golden.Load(t, "archs.json", &vectors)
	indices := func(key, set string) []int32 {
		d, err := data.Published(key)
		if err != nil {
			t.Fatal(err)
		}
		ds, err := data.New(d, unseenSplits(key))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range append(ds.Eval, ds.Train) {
			if s.Name == set {
				return s.Indices
			}
		}
		return nil
	}
	got := map[string][]int32{
		"cifar-split.train":     indices("cifar10-valid", "train"),
		"cifar-split.valid":     indices("cifar10-valid", "x-valid"),
		"cifar100.xvalid":       indices("cifar100", "x-valid"),
		"cifar100.xtest":        indices("cifar100", "x-test"),
		"imagenet16-120.xvalid": indices("ImageNet16-120", "x-valid"),
		"imagenet16-120.xtest":  indices("ImageNet16-120", "x-test"),
	}
	for name, want := range vectors.Splits {
		if sha(got[name]) != want {
			t.Errorf("%s: not the published split", name)
		}
	}
}
