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

	"waybill/internal/fault"
	"waybill/lab/child"
)

// central is Maven's repository.
const central = "https://repo1.maven.org/maven2/"

// hadoopJars are what a NameNode and a DataNode need, with their SHA-256: Hadoop with all it depends on, a logger, and
// what Java no longer has itself.
var hadoopJars = map[string]string{
	"org/apache/hadoop/hadoop-client-minicluster/3.4.2/hadoop-client-minicluster-3.4.2.jar": "ae2406c544825b7734b8aad4f87eff60d9ec422284f0b16c2856032083b63c77",
	"org/apache/hadoop/hadoop-client-api/3.4.2/hadoop-client-api-3.4.2.jar":                 "607c0299f4df33013bd0a0f37c8cf255c635bbaddd247b8fec68c210cc17d19f",
	"org/apache/hadoop/hadoop-client-runtime/3.4.2/hadoop-client-runtime-3.4.2.jar":         "18d071c7f72f8a946677b398a57af9c7afa2dd41a81023c310f99373fec200b3",
	"org/slf4j/slf4j-api/1.7.36/slf4j-api-1.7.36.jar":                                       "d3ef575e3e4979678dc01bf1dcce51021493b4d11fb7f1be8ad982877c16a1c0",
	"org/slf4j/slf4j-simple/1.7.36/slf4j-simple-1.7.36.jar":                                 "2f39bed943d624dfa8f4102d0571283a10870b6aa36f197a8a506f147010c10f",
	"javax/xml/bind/jaxb-api/2.3.1/jaxb-api-2.3.1.jar":                                      "88b955a0df57880a26a74708bc34f74dcaf8ebf4e78843a28b50eae945732b06",
	"com/sun/xml/bind/jaxb-impl/2.3.1/jaxb-impl-2.3.1.jar":                                  "e6c9e0f1830fd5f7c30c25ecf5e2046c5668b06d304add89d2f027d5072297d0",
	"com/sun/xml/bind/jaxb-core/2.3.0.1/jaxb-core-2.3.0.1.jar":                              "d2ecba63615f317a11fb55c6468f6a9480f6411c10951d9881bafd9a9a8d0467",
	"commons-logging/commons-logging/1.2/commons-logging-1.2.jar":                           "daddea1ea0be0f56978ab3006b8ac92834afeefbd9b7e4e6316fca57df0fa636",
}

// FetchHDFS downloads the jars, and formats an empty filesystem that each HDFS begins with.
func FetchHDFS(ctx context.Context) error {
	dir, err := hdfsFolder()
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	err = child.Fetch(dir, func(work string) (string, error) {
		made := filepath.Join(work, "hdfs")
		if err := os.Mkdir(made, 0o755); err != nil {
			return "", err
		}
		if err := downloadAll(ctx, hadoopJars, made); err != nil {
			return "", err
		}
		return made, format(made, work)
	})
	if err != nil {
		return fault.New(fault.Transient, "fetch", "HDFS", err, "as root run `apt-get install openjdk-17-jre-headless`, then try again")
	}
	return nil
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

func hdfsFolder() (string, error) {
	cache, err := child.CacheDir()
	return filepath.Join(cache, "servers", "hdfs"), err
}

func hdfsJars() (string, error) {
	home, err := hdfsFolder()
	if err == nil {
		_, err = os.Stat(home)
	}
	if err != nil {
		return "", fault.New(fault.Usage, "find", "HDFS", err, "`make servers-hdfs` fetches it")
	}
	return home, nil
}
