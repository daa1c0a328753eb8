package published_test

import (
	"context"
	"fmt"
	"log"

	"nb201/cell"
	"nb201/results/published"
)

// In Python: API(path), len(api), api[i].
func ExampleOpen() {
	b, err := published.Open(context.Background(), "../benchmark/testdata/campaign") // or NAS-Bench-201-v1_1-096897.pth, a NATS directory, ...
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	genotype, err := b.Arch(1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(b)
	fmt.Println(b.Len(), b.Evaluated())
	fmt.Println(genotype)
	// Output:
	// Benchmark(3/15625 architectures, file=campaign)
	// 15625 [1 3 123]
	// |nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|
}

// In Python: API(None).
func ExampleDefaultPath() {
	getenv := func(name string) string { return map[string]string{"TORCH_HOME": "/data/torch"}[name] } // or os.Getenv
	fmt.Println(published.DefaultPath(getenv, published.NASBench201, cell.Topology{}))
	fmt.Println(published.DefaultPath(getenv, published.NATS, cell.Topology{}))
	fmt.Println(published.DefaultPath(getenv, published.NATS, cell.Size{}))
	// Output:
	// /data/torch/NAS-Bench-201-v1_1-096897.pth <nil>
	// /data/torch/NATS-tss-v1_0-3ffb9-simple <nil>
	// /data/torch/NATS-sss-v1_0-50262-simple <nil>
}
