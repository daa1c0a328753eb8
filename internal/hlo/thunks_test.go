package hlo

import "testing"

func TestCountLaunches(t *testing.T) {
	for name, c := range map[string]struct {
		list string
		want Launches
	}{
		"one graph": {`000: kCommandBuffer [source | sink] 
    001: kCopy         [source       | next=006 (5)] kCopy
    006: kWhile        [prev=005 (1) | sink        ]       
condition:
        007: kCustomKernel [source | sink] wrapped_compare
      body:
        008: kCustomKernel [source         | next=010 (2)  ] input_transpose_fusion_36
        010: kConvolution  [prev=009 (1)   | next=011 (1)  ] kConvolution
`, Launches{Graphs: 1, Turn: 0, Whole: 1}},
		"XLA's default": {`000: kCommandBuffer [source       | next=006 (1)] 
    001: kCopy         [source | sink] kCopy
    004: kCustomKernel [source | sink] loop_broadcast_fusion
006: kWhile         [prev=000 (1) | sink        ]   
condition:
    007: kCustomKernel [source | sink] wrapped_compare
  body:
    008: kCustomKernel  [source         | next=010 (2)  ] input_transpose_fusion_36
    010: kConvolution   [prev=009 (1)   | next=000 (1)  ] kConvolution
    000: kCommandBuffer [prev=010 (1)   | next=019 (1)  ] 
        011: kCustomKernel [source       | next=012 (1)] input_reduce_fusion_57
        015: kCopy         [source       | next=017 (2)] kCopy
    019: kConvolution   [prev=000 (1)   | next=020 (1)  ] kConvolution
020: kCopy          [source | sink] kCopy
`, Launches{Graphs: 2, Turn: 4, Whole: 3}},
		"the loop's body alone": {`000: kCopy [source | sink] kCopy
001: kWhile [source | sink]
condition:
    002: kCustomKernel [source | sink] wrapped_compare
  body:
    000: kCommandBuffer [source | sink]
        003: kConvolution [source | sink] kConvolution
`, Launches{Graphs: 1, Turn: 1, Whole: 2}},
		"no loop": {"000: kCustomKernel [source | sink] wrapped_add\n001: kGemm [source | sink]\n", Launches{Graphs: 0, Turn: -1, Whole: 2}},
	} {
		if got, err := CountLaunches(c.list); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
	for _, list := range []string{"", "body:\n", "no thunks here: k\n"} {
		if l, err := CountLaunches(list); err == nil {
			t.Errorf("%q has %+v", list, l)
		}
	}
}
