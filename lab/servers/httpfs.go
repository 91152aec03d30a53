package servers

import (
	"context"
	"os/exec"
	"strconv"
)

// StartHttpFS starts an HDFS with a gateway, which the server is.
func StartHttpFS(ctx context.Context, dir string) (*Foreign, error) {
	h, err := StartHDFS(ctx, dir, HDFSOptions{Gateway: true})
	if err != nil {
		return nil, err
	}
	return &Foreign{Server: h.Gateway, HDFS: h, Version: hadoopVersion}, nil
}

func (h *HDFS) startGateway(ctx context.Context) (err error) {
	daemon := h.command("fs.http.server.HttpFSServerWebServer", "httpfs", func(port int, _ string) map[string]string {
		return map[string]string{"httpfs.http.hostname": "127.0.0.1", "httpfs.http.port": strconv.Itoa(port)}
	})
	h.Gateway, err = start(ctx, "HttpFS", h.options.Log, func(port int) (*exec.Cmd, error) {
		cmd, err := daemon(port)
		if err == nil {
			options := "JDK_JAVA_OPTIONS=-Dhttpfs.config.dir=" + h.conf("httpfs")
			for _, dir := range []string{"home", "log", "temp"} {
				options += " -Dhttpfs." + dir + ".dir=" + h.dir
			}
			cmd.Env = append(cmd.Env, options)
		}
		return cmd, err
	})
	return err
}
