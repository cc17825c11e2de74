package build

import (
	"archive/zip"
	"fmt"
	"io"
	"os"
	"strings"
)

// extractFromZip writes the one entry whose name ends so to an executable file.
func extractFromZip(archive, suffix, target string) error {
	reader, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer reader.Close()
	for _, entry := range reader.File {
		if strings.HasSuffix(entry.Name, suffix) {
			return writeEntry(entry, target)
		}
	}
	return fmt.Errorf("%s has no entry that ends in %s", archive, suffix)
}

func writeEntry(entry *zip.File, target string) error {
	source, err := entry.Open()
	if err != nil {
		return err
	}
	defer source.Close()
	file, err := os.OpenFile(target, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, source); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}
