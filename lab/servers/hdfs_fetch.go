package servers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"waybill/lab/child"
)

// central is Maven's repository.
const central = "https://repo1.maven.org/maven2/"

// hadoopFolders are empty: the daemons look for pages to serve there.
var hadoopFolders = []string{"webapps/hdfs/WEB-INF", "webapps/datanode/WEB-INF"}

func hadoopProgram() program {
	return program{"hadoop", []any{hadoopJars, hadoopFolders}, fetchHadoop}
}

// FetchHDFS downloads the jars, and formats an empty filesystem that each HDFS begins with.
func FetchHDFS(ctx context.Context) error {
	return hadoopProgram().install(ctx, "openjdk-17-jre-headless")
}

func fetchHadoop(ctx context.Context, made string) error {
	for _, folder := range hadoopFolders {
		if err := os.MkdirAll(filepath.Join(made, folder), 0o755); err != nil {
			return err
		}
	}
	if err := downloadAll(ctx, hadoopJars, made); err != nil {
		return err
	}
	return format(made, filepath.Dir(made))
}

func format(made, work string) error {
	conf := filepath.Join(work, "conf")
	err := writeSettings(conf, map[string]string{
		"fs.defaultFS": "hdfs://127.0.0.1", "dfs.namenode.name.dir": "file://" + filepath.Join(made, "name"),
	})
	if err != nil {
		return err
	}
	if out, err := hadoop(made, conf, "org.apache.hadoop.hdfs.server.namenode.NameNode", "-format", "-nonInteractive").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, child.LastLines(out))
	}
	_, err = os.Stat(filepath.Join(made, "name", "current", "VERSION"))
	return err
}

func downloadAll(ctx context.Context, jars map[string]string, to string) error {
	all, ctx := errgroup.WithContext(ctx)
	for jar, sum := range jars {
		all.Go(func() error { return download(ctx, central+jar, filepath.Join(to, path.Base(jar)), sum) })
	}
	return all.Wait()
}

// download stores what has the sum.
func download(ctx context.Context, from, to, sum string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path.Base(to), answer.Status)
	}
	file, err := os.Create(to)
	if err != nil {
		return err
	}
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(file, hash), answer.Body)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if got := hex.EncodeToString(hash.Sum(nil)); err == nil && got != sum {
		err = fmt.Errorf("%s has the SHA-256 %s, want %s", path.Base(to), got, sum)
	}
	return err
}
