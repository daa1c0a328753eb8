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

// Pin names the wheels that a device's plugin is installed from, with their hashes. The same Pin
// always installs the same files.
type Pin struct {
	Platform string  `json:"platform"` // GOOS/GOARCH that the wheels are built for
	Version  string  `json:"version"`  // of the plugin's project
	Plugin   string  `json:"plugin"`   // path of the plugin within the unpacked wheels
	Wheels   []Wheel `json:"wheels"`
}

// Wheel is a file on a package index. The RECORD in a wheel lists the SHA-256 of all its other
// files, so Record pins the unpacked files just as SHA256 pins the wheel.
type Wheel struct {
	Project  string `json:"project"`
	File     string `json:"file"`
	SHA256   string `json:"sha256"`
	Size     int64  `json:"size"`     // of the file, in bytes
	Unpacked int64  `json:"unpacked"` // total size of the files in it, in bytes
	Record   string `json:"record"`   // SHA-256 of its RECORD, in hex
}

// Pins returns the Pin of every device.
func Pins() map[string]Pin {
	var pins map[string]Pin
	if err := json.Unmarshal(pinsJSON, &pins); err != nil {
		panic(fmt.Sprintf("pins.json, which is embedded in the program: %v", err))
	}
	return pins
}

// Size returns the number of bytes to download, and the number that they unpack to.
func (p Pin) Size() (download, unpacked int64) {
	for _, w := range p.Wheels {
		download += w.Size
		unpacked += w.Unpacked
	}
	return download, unpacked
}

// fitsPlatform reports whether the wheels are built for this platform.
func (p Pin) fitsPlatform() bool { return p.Platform == runtime.GOOS+"/"+runtime.GOARCH }

// Directory returns the name of the directory under [Root] into which the wheels are unpacked. Pins
// of the same version that differ in any wheel have different directories.
func (p Pin) Directory(device string) string {
	hash := sha256.New()
	for _, w := range p.Wheels {
		fmt.Fprintln(hash, w.File, w.SHA256)
	}
	return fmt.Sprintf("%s-%s-%s", device, p.Version, hex.EncodeToString(hash.Sum(nil)[:4]))
}
