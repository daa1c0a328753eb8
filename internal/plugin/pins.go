package plugin

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime"
)

//go:generate go run ./pins -o pins.json

//go:embed pins.json
var pinsJSON []byte

// Pin is what a device's plugin is installed from: a set of wheels, each by its
// name and hash. The same Pin always gives the same files.
type Pin struct {
	Platform string  `json:"platform"` // GOOS/GOARCH that the wheels are built for
	Version  string  `json:"version"`  // of the plugin's project
	Plugin   string  `json:"plugin"`   // path of the plugin within the unpacked wheels
	Wheels   []Wheel `json:"wheels"`
}

// Wheel is a file that a package index has. Its RECORD lists the SHA-256 of all other files
// in it, so that Record fixes what is unpacked as SHA256 fixes the wheel.
type Wheel struct {
	Project  string `json:"project"`
	File     string `json:"file"`
	SHA256   string `json:"sha256"`
	Size     int64  `json:"size"`     // of the file, in bytes
	Unpacked int64  `json:"unpacked"` // of the files in it together, in bytes
	Record   string `json:"record"`   // SHA-256 of its RECORD
}

// Pins returns every device's Pin.
func Pins() map[string]Pin {
	var pins map[string]Pin
	if err := json.Unmarshal(pinsJSON, &pins); err != nil {
		panic(fmt.Sprintf("pins.json, which is part of the program: %v", err))
	}
	return pins
}

// Size returns the bytes to download and those they unpack to.
func (p Pin) Size() (download, unpacked int64) {
	for _, w := range p.Wheels {
		download += w.Size
		unpacked += w.Unpacked
	}
	return download, unpacked
}

// fits tells whether the wheels are built for the machine that runs this.
func (p Pin) fits() bool { return p.Platform == runtime.GOOS+"/"+runtime.GOARCH }

// Directory names the directory under Root that the Pin is unpacked in. Pins of one version that
// differ in any wheel have different directories.
func (p Pin) Directory(device string) string {
	hash := sha256.New()
	for _, w := range p.Wheels {
		fmt.Fprintln(hash, w.File, w.SHA256)
	}
	return fmt.Sprintf("%s-%s-%s", device, p.Version, hex.EncodeToString(hash.Sum(nil)[:4]))
}
