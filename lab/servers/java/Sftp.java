// An SFTP server for tests: PORT FILES USER KEY, and the password in the environment.
import java.nio.file.Path;
import java.util.List;
import org.apache.sshd.common.file.virtualfs.VirtualFileSystemFactory;
import org.apache.sshd.common.keyprovider.FileKeyPairProvider;
import org.apache.sshd.server.SshServer;
import org.apache.sshd.sftp.server.SftpSubsystemFactory;

class Sftp {
    public static void main(String[] args) throws Exception {
        var server = SshServer.setUpDefaultServer();
        server.setHost("127.0.0.1");
        server.setPort(Integer.parseInt(args[0]));
        server.setKeyPairProvider(new FileKeyPairProvider(Path.of(args[3])));
        server.setPasswordAuthenticator((user, password, session) -> user.equals(args[2]) && password.equals(System.getenv("PASSWORD")));
        server.setSubsystemFactories(List.of(new SftpSubsystemFactory()));
        server.setFileSystemFactory(new VirtualFileSystemFactory(Path.of(args[1])));
        server.start();
        Thread.sleep(Long.MAX_VALUE);
    }
}
