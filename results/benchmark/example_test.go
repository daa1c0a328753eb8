package benchmark_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nb201/cell"
	"nb201/configs"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// examples is the campaign that the examples query: synthetic trials of architectures 1, 3 and 123
// in a small skeleton, with 12 epochs each and the seeds of the published benchmark. Architecture 3
// has weights on cifar10.
const examples = "testdata/campaign"

var update = flag.Bool("update", false, "write "+examples+" again")

// TestExampleCampaign checks that the campaign of the examples is the one made here.
func TestExampleCampaign(t *testing.T) {
	made := results.Campaign{Dir: filepath.Join(t.TempDir(), "campaign")}
	for _, arch := range []int{1, 3, 123} {
		for _, dataset := range configs.BenchmarkKeys() {
			seeds := []uint32{111}
			if dataset == "cifar10-valid" {
				seeds = append(seeds, 777)
			}
			for _, seed := range seeds {
				r := resultstest.Record(t, results.Trial{Arch: arch, Dataset: dataset, Epochs: 12, Seed: seed})
				resultstest.Resize(t, r, 2, 1)
				round(&r.Train.Curve)
				for i := range r.Eval {
					round(&r.Eval[i].Curve)
				}
				weights := resultstest.Weights(t, r)
				if arch != 3 || dataset != "cifar10" {
					weights = nil
				}
				if err := made.Publish(r, weights); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := os.Remove(filepath.Join(made.Dir, ".lock")); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.RemoveAll(examples); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(examples, os.DirFS(made.Dir)); err != nil {
			t.Fatal(err)
		}
	}
	got, want := files(t, examples), files(t, made.Dir)
	for path := range want {
		if !bytes.Equal(got[path], want[path]) {
			t.Errorf("%s is not what this test makes: go test -run %s -update", path, t.Name())
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s holds %d files, not %d", examples, len(got), len(want))
	}
}

// round rounds losses and times to keep the files small. Accuracies must remain whole numbers of
// images.
func round(c *results.Curve) {
	for _, values := range [][]float64{c.Loss, c.Seconds} {
		for i, v := range values {
			values[i] = math.Round(v*1000) / 1000
		}
	}
}

// files reads all files of a directory, by their paths in it.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	contents := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			contents[path], err = os.ReadFile(filepath.Join(dir, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return contents
}

// open opens the campaign of the examples.
func open() *benchmark.Benchmark {
	b, err := published.Open(context.Background(), examples)
	if err != nil {
		log.Fatal(err)
	}
	return b
}

// must is for examples only.
func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// In Python: for i, s in enumerate(api).
func ExampleBenchmark_All() {
	b := open()
	defer b.Close()
	for i, genotype := range b.All() {
		if i == 2 {
			break
		}
		fmt.Println(i, genotype)
	}
	// Output:
	// 0 |avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|
	// 1 |nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|
}

// In Python: api.show(1).
func ExampleBenchmark_Show() {
	b := open()
	defer b.Close()
	if err := b.Show(os.Stdout, 1); err != nil {
		log.Fatal(err)
	}
	// Output:
	// >>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>> 012 epochs >>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>
	// |nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|
	// datasets : ['cifar10-valid', 'cifar10', 'cifar100', 'ImageNet16-120'], extra-info : None
	// cifar10-valid  FLOP=  0.50 M, Params=0.004 MB, latency=12.75 ms.
	// cifar10-valid  train : [loss = 0.208, top1 = 84.70%], valid : [loss = 0.204, top1 = 84.82%]
	// cifar10        FLOP=  0.50 M, Params=0.004 MB, latency=12.75 ms.
	// cifar10        train : [loss = 0.216, top1 = 84.63%], test  : [loss = 0.283, top1 = 84.70%]
	// cifar100       FLOP=  0.50 M, Params=0.004 MB, latency=12.75 ms.
	// cifar100       train : [loss = 0.216, top1 = 84.63%], valid : [loss = 0.211, top1 = 84.56%], test : [loss = 0.222, top1 = 84.42%]
	// ImageNet16-120 FLOP=  0.13 M, Params=0.005 MB, latency=12.75 ms.
	// ImageNet16-120 train : [loss = 0.216, top1 = 84.63%], valid : [loss = 0.211, top1 = 84.57%], test : [loss = 0.222, top1 = 84.43%]
	// <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<------------<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<
}

// In Python: info = api.query_meta_info_by_index(1); info.get_metrics('cifar10', 'train');
// info.get_compute_costs('cifar100').
func ExampleBenchmark_QueryMetaInfoByIndex() {
	b := open()
	defer b.Close()
	info := must(b.QueryMetaInfoByIndex(1, "12"))
	metrics := must(info.Metrics("cifar10", benchmark.TrainingSet, benchmark.Last, benchmark.Mean()))
	fmt.Printf("epoch %d: loss %.3f, accuracy %.2f %%, %.1f s\n", metrics.Epoch, metrics.Loss, metrics.Accuracy, *metrics.TotalSeconds)
	costs := must(info.ComputeCosts("cifar100"))
	fmt.Printf("%.6f MFLOPs, %.6f M parameters, %.2f ms\n", costs.FLOPs, costs.Params, *costs.Latency*1000)
	for _, t := range costs.Times {
		fmt.Printf("%s: %.2f s an epoch, %.1f s in all\n", t.Set, t.PerEpoch, t.Total)
	}
	// Output:
	// epoch 11: loss 0.216, accuracy 84.63 %, 126.2 s
	// 0.502660 MFLOPs, 0.004494 M parameters, 12.75 ms
	// train: 10.52 s an epoch, 126.2 s in all
	// ori-test: 10.49 s an epoch, 125.8 s in all
	// x-valid: 10.37 s an epoch, 124.4 s in all
	// x-test: 10.49 s an epoch, 125.8 s in all
}

// In Python: api.query_by_index(1, 'cifar100'), and of each trial get_latency(), get_train(),
// get_train(10), get_eval('x-valid'), get_eval('x-test').
func ExampleBenchmark_QueryByIndex() {
	b := open()
	defer b.Close()
	for _, trial := range must(b.QueryByIndex(1, "cifar100", "12")) {
		fmt.Printf("seed %d: latency %.2f ms\n", trial.Seed, *trial.Latency()*1000)
		fmt.Println(must(trial.Train(benchmark.Last)).Accuracy, must(trial.Train(10)).Accuracy)
		fmt.Println(must(trial.Eval("x-valid", benchmark.Last)).Accuracy, must(trial.Eval("x-test", benchmark.Last)).Accuracy)
	}
	_, err := b.QueryByIndex(1, "svhn", "12")
	fmt.Println(err)
	// Output:
	// seed 111: latency 12.75 ms
	// 84.632 84.172
	// 84.56 84.42
	// testdata/campaign: architecture 1 has no trial on "svhn" with schedule 12; it has trials on cifar10-valid, cifar10, cifar100, ImageNet16-120
}

// In Python: api.query_index_by_arch(string).
func ExampleBenchmark_QueryIndexByArch() {
	b := open()
	defer b.Close()
	fmt.Println(b.QueryIndexByArch("|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"))
	// Output:
	// 1 <nil>
}

// In Python: api.query_by_arch(arch, '12'), api.query_info_str_by_arch(arch, '12').
func ExampleBenchmark_QueryByArch() {
	b := open()
	defer b.Close()
	fmt.Println(must(b.QueryByArch("3", "12")))
	// Output:
	// |avg_pool_3x3~0|+|skip_connect~0|none~1|+|none~0|none~1|skip_connect~2|
	// datasets : ['cifar10-valid', 'cifar10', 'cifar100', 'ImageNet16-120'], extra-info : arch-index=3
	// cifar10-valid  FLOP=  0.17 M, Params=0.001 MB, latency=12.75 ms.
	// cifar10-valid  train : [loss = 0.215, top1 = 84.74%], valid : [loss = 0.276, top1 = 84.89%]
	// cifar10        FLOP=  0.17 M, Params=0.001 MB, latency=12.75 ms.
	// cifar10        train : [loss = 0.232, top1 = 85.15%], test  : [loss = 0.287, top1 = 84.17%]
	// cifar100       FLOP=  0.17 M, Params=0.002 MB, latency=12.75 ms.
	// cifar100       train : [loss = 0.232, top1 = 85.15%], valid : [loss = 0.280, top1 = 84.88%], test : [loss = 0.226, top1 = 84.42%]
	// ImageNet16-120 FLOP=  0.04 M, Params=0.002 MB, latency=12.75 ms.
	// ImageNet16-120 train : [loss = 0.232, top1 = 85.15%], valid : [loss = 0.280, top1 = 84.90%], test : [loss = 0.226, top1 = 84.43%]
}

// In Python: api.get_net_config(123, 'cifar10').
func ExampleBenchmark_NetConfig() {
	b := open()
	defer b.Close()
	fmt.Printf("%+v\n", must(b.NetConfig(123, "cifar10")))
	// Output:
	// {Name:infer.tiny Channels:2 Cells:1 Widths: Genotype:|avg_pool_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2| Classes:10}
}

// In Python: api.get_net_param(3, 'cifar10', None), api.get_net_param(123, 'cifar10', 111).
func ExampleBenchmark_NetParam() {
	b := open()
	defer b.Close()
	for seed, weights := range must(b.NetParam(3, "cifar10", "12")) { // all seeds, of which there is one
		fmt.Println(seed, len(weights), weights[0].Name, weights[0].Shape)
	}
	dropped := must(b.NetParam(123, "cifar10", "12", 111))
	fmt.Println(dropped[111] == nil)
	// Output:
	// 111 39 stem.0.weight [2 3 3 3]
	// true
}

// In Python: api.get_more_info(123, 'cifar10', None, hp='12', is_random=True),
// api.get_more_info(123, 'ImageNet16-120', None, hp='12', is_random=True).
func ExampleBenchmark_MoreInfo() {
	b := open()
	defer b.Close()
	random := rand.New(rand.NewPCG(1, 2))
	info := must(b.MoreInfo(123, "cifar10", benchmark.Last, "12", benchmark.Random(random)))
	fmt.Println(*info.Seed, info.Train.Accuracy, info.Test.Accuracy, info.Valid == nil)
	info = must(b.MoreInfo(123, "ImageNet16-120", benchmark.Last, "12", benchmark.Random(random)))
	fmt.Println(info.Valid.Accuracy, info.Test.Accuracy, info.ValTest.Accuracy)
	info = must(b.MoreInfo(123, "cifar10-valid", 5, "12", benchmark.Mean()))
	fmt.Printf("epoch %d: %.3f %.3f\n", info.Valid.Epoch, info.Valid.Accuracy, info.Test.Accuracy)
	// Output:
	// 111 84.534 84.92 true
	// 84.73333333333333 85.13333333333334 84.93333333333334
	// epoch 5: 79.220 79.100
}

// In Python: api.get_cost_info(123, 'cifar10'), api.get_latency(123, 'cifar10').
func ExampleBenchmark_CostInfo() {
	b := open()
	defer b.Close()
	costs := must(b.CostInfo(123, "cifar10", "12"))
	latency := must(b.Latency(123, "cifar10", "12"))
	fmt.Printf("%.6f MFLOPs, %.6f M parameters, %.2f ms\n", costs.FLOPs, costs.Params, *latency*1000)
	// Output:
	// 0.292954 MFLOPs, 0.002228 M parameters, 12.75 ms
}

// In Python: api.reload(archive, 3).
func ExampleBenchmark_Reload() {
	b := open()
	archive := must(published.Open(context.Background(), "testdata/campaign")) // or a directory of NNNNNN-FULL.pth
	b, err := b.Reload(archive, 3)
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	fmt.Println(len(must(b.NetParam(3, "cifar10", "12"))[111]), "tensors")
	// Output:
	// 39 tensors
}

// In Python: api.find_best('cifar10', 'valid', FLOP_max, Param_max, '12').
func ExampleBenchmark_FindBest() {
	b := open()
	defer b.Close()
	best := must(b.FindBest(context.Background(), benchmark.Search{Dataset: "cifar10", Set: "valid", HP: "12", MaxParams: 0.003}))
	fmt.Printf("architecture %d: %.3f %% on %s of %s, %.6f M parameters; %d compared, %d beyond the limit\n",
		best.Index, best.Accuracy, best.Set, best.Dataset, best.Params, best.Compared, best.Beyond)
	// Output:
	// architecture 3: 84.886 % on x-valid of cifar10-valid, 0.001332 M parameters; 2 compared, 1 beyond the limit
}

// In Python: api.simulate_train_eval(arch, 'cifar10', hp='12'), api.used_time.
func ExampleBenchmark_SimulateTrainEval() {
	b := open()
	defer b.Close()
	random := rand.New(rand.NewPCG(1, 2))
	var used float64 // seconds
	for _, arch := range b.Evaluated() {
		s := must(b.SimulateTrainEval(arch, "cifar10", benchmark.Last, "12", benchmark.Random(random)))
		used += s.Seconds
		fmt.Printf("architecture %d: %.2f %%, %.1f s, %.1f s so far\n", arch, s.Accuracy, s.Seconds, used)
	}
	// Output:
	// architecture 1: 84.57 %, 136.6 s, 136.6 s so far
	// architecture 3: 84.89 %, 135.4 s, 272.0 s so far
	// architecture 123: 84.72 %, 136.2 s, 408.2 s so far
}

// In Python: api.statistics('cifar10-valid', '12').
func ExampleBenchmark_Statistics() {
	b := open()
	defer b.Close()
	fmt.Println(must(b.Statistics(context.Background(), "cifar10-valid", "12", nil)))
	// Output:
	// map[2:3]
}

// In Python: api.avaliable_hps.
func ExampleBenchmark_AvailableHPs() {
	b := open()
	defer b.Close()
	fmt.Println(must(b.AvailableHPs(context.Background(), nil)))
	// Output:
	// [12]
}

// In Python: ResultsCount.create_from_state_dict(...), then print(result), get_train(),
// get_train(11), get_eval('x-valid'), get_eval('x-valid', 11), get_latency(),
// get_net_param(), get_config(CellStructure.str2structure).
func ExampleResultsCount() {
	b := open()
	defer b.Close()
	result := must(b.QueryByIndex(123, "cifar10-valid", "12"))[1]
	fmt.Println(result)
	fmt.Println(must(result.Train(benchmark.Last)).Loss, must(result.Train(11)).Loss)
	fmt.Println(must(result.Eval("x-valid", benchmark.Last)).Accuracy, must(result.Eval("x-valid", 11)).Accuracy)
	fmt.Println(*result.Latency(), result.HasWeights())
	fmt.Println(must(cell.Parse(result.Config().Genotype)).(cell.Cell).Lists())
	_, err := result.Eval("x-test", 11)
	fmt.Println(err)
	// Output:
	// ResultsCount(cifar10-valid, arch=|avg_pool_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|, FLOP=0.29M, Param=0.002MB, seed=0777, 2 eval-sets: [ori-test, x-valid])
	// 0.281 0.281
	// 84.716 84.716
	// 0.012750000000000001 false
	// [[{avg_pool_3x3 0}] [{avg_pool_3x3 0} {nor_conv_1x1 1}] [{none 0} {avg_pool_3x3 1} {nor_conv_3x3 2}]]
	// architecture 123 on cifar10-valid, 12 epochs, seed 777 has no evaluation set "x-test"; it has ori-test, x-valid
}

// In Python: ArchResults.create_from_state_dict(xdata['less']), then arch_idx_str(),
// get_dataset_names(), get_compute_costs('cifar10-valid'),
// get_metrics('cifar10-valid', 'x-valid', None, False) and True.
func ExampleArchResults() {
	b := open()
	defer b.Close()
	a := must(b.QueryMetaInfoByIndex(123, "12"))
	fmt.Println(a.ArchIdxStr(), strings.Join(a.DatasetNames(), " "), must(a.DatasetSeeds("cifar10-valid")))
	fmt.Printf("%.6f MFLOPs\n", must(a.ComputeCosts("cifar10-valid")).FLOPs)
	random := rand.New(rand.NewPCG(1, 2))
	for _, pick := range []benchmark.Pick{benchmark.Mean(), benchmark.Random(random), benchmark.Seed(111)} {
		fmt.Printf("%.4f\n", must(a.Metrics("cifar10-valid", "x-valid", benchmark.Last, pick)).Accuracy)
	}
	_, err := a.Metrics("cifar10-valid", "x-valid", benchmark.Last, benchmark.Seed(888))
	fmt.Println(err)
	// Output:
	// 000123 cifar10-valid cifar10 cifar100 ImageNet16-120 [111 777]
	// 0.292954 MFLOPs
	// 84.7180
	// 84.7200
	// 84.7200
	// architecture 123 has no trial on cifar10-valid with schedule 12 and seed 888; it has seeds 111, 777
}
