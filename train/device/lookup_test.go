package device

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
	"github.com/gomlx/gomlx/core/tensors"

	"nb201/data"
	"nb201/data/datatest"
	"nb201/internal/backend"
	"nb201/internal/backend/devicetest"
)

// everyByte returns images in which every channel has every byte value, if they have 256 pixels.
func everyByte(images, size int) *data.Images {
	im := &data.Images{Size: size, Pixels: make([]byte, images*size*size*3), Labels: make([]int32, images)}
	for i := range im.Pixels {
		im.Pixels[i] = byte(i/3 + 101*(i%3) + 7*(i/(3*size*size)))
	}
	for i := range im.Labels {
		im.Labels[i] = int32(i)
	}
	return im
}

// The device turns rows into the same pixels as datatest.Fill turns an order into, to the bit: for
// every byte in every channel, every crop of every image, mirrored and not, of both stored splits, and
// images that are not cropped.
func TestLookUp(t *testing.T) {
	b := devicetest.Open(t).Backend
	for _, test := range []struct {
		size, padding, cutout int
		flip                  bool
	}{
		{16, 4, 0, true}, {16, 0, 0, false}, {16, 0, 0, true}, {32, 4, 0, true}, {20, 2, 0, true}, {4, 1, 0, false}, {4, 4, 0, true}, {64, 1, 0, true},
		{16, 4, 6, true}, {16, 0, 2, false}, {8, 1, 16, true}, {4, 2, 20, false},
	} {
		t.Run(fmt.Sprintf("%+v", test), func(t *testing.T) {
			published, err := data.Published("cifar10")
			if err != nil {
				t.Fatal(err)
			}
			set, err := data.New(data.Definition{
				Name: "images", Classes: 3, Size: [2]int{test.size, test.size}, Mean: published.Mean, Std: published.Std,
				Augment: data.Augment{Flip: test.flip, CropPadding: test.padding, Cutout: test.cutout},
				Train:   data.SplitDefinition{From: "train"},
				Eval:    []data.SplitDefinition{{Name: "x-valid", From: "train"}, {Name: "ori-test", From: "test"}},
			}, map[string]*data.Images{"train": everyByte(3, test.size), "test": everyByte(2, test.size)})
			if err != nil {
				t.Fatal(err)
			}
			var crops data.Epoch
			for image := range int32(3) {
				for row := range int16(2*test.padding + 1) {
					for column := range int16(2*test.padding + 1) {
						for _, flip := range slices.Compact([]bool{false, test.flip}) {
							crops.Order = append(crops.Order, image)
							crop := data.Crop{Flip: flip, Row: row, Column: column}
							if test.cutout > 0 { // every centre occurs, the corners first
								n := len(crops.Crops)
								crop.CutRow, crop.CutColumn = int16(n%test.size), int16(n/test.size%test.size)
							}
							crops.Crops = append(crops.Crops, crop)
						}
					}
				}
			}
			images, err := Upload(b, set)
			if err != nil {
				t.Fatal(err)
			}
			defer images.Finalize()
			splits := []*data.Split{&set.Train, &set.Eval[0], &set.Eval[1]}
			for stage, order := range []data.Epoch{crops, {Order: []int32{2, 0, 1, 1}}, {Order: []int32{1, 0}}} {
				const padded = 3 // rows
				n := len(order.Order)
				rows, one := n+padded, 3*test.size*test.size
				cutout := 0
				if stage == 0 {
					cutout = test.cutout
				}
				length := (&Executable{Spec: Spec{Cutout: cutout}}).rowLen()
				table := make([]int32, rows*length)
				images.fillRows(table, length, &Stage{Split: splits[stage], Order: &order, CropPadding: test.padding}, 0, n)
				wantPixels, wantLabels := make([]float32, n*one), make([]int32, n)
				datatest.Fill(set, wantPixels, wantLabels, splits[stage], &order, 0, n)

				g := NewGraph(b, "look up")
				defer g.Finalize()
				var out []*tensors.Tensor
				if err := backend.Catch(func() error {
					of := func(name string, like *tensors.Tensor) *Node { return Parameter(g, name, like.Shape()) }
					x, classes := lookUp(of("pixels", images.pixels), of("labels", images.labels), of("normal", images.normal),
						Parameter(g, "rows", shapes.Make(dtypes.Int32, rows, length)), stage == 0, cutout)
					if err := g.Compile(x, classes); err != nil {
						return err
					}
					out = g.Run(images.pixels, images.labels, images.normal, tensors.FromFlatDataAndDimensions(table, rows, length))
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				pixels, labels := tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[int32](out[1])
				if want := append(wantLabels, slices.Repeat([]int32{-1}, padded)...); !slices.Equal(labels, want) {
					t.Errorf("stage %d: labels %v, want %v", stage, labels, want)
				}
				for i, want := range wantPixels {
					if math.Float32bits(pixels[i]) != math.Float32bits(want) {
						t.Fatalf("stage %d: row %d, value %d is %v, want %v", stage, i/one, i%one, pixels[i], want)
					}
				}
			}
		})
	}
}
