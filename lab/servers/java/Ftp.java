// An FTP server for tests: PORT FILES USER KEY, and the password in the environment.
import java.util.List;
import org.apache.ftpserver.ConnectionConfigFactory;
import org.apache.ftpserver.FtpServerFactory;
import org.apache.ftpserver.listener.ListenerFactory;
import org.apache.ftpserver.usermanager.PropertiesUserManagerFactory;
import org.apache.ftpserver.usermanager.impl.BaseUser;
import org.apache.ftpserver.usermanager.impl.WritePermission;

class Ftp {
    public static void main(String[] args) throws Exception {
        var user = new BaseUser();
        user.setName(args[2]);
        user.setPassword(System.getenv("PASSWORD"));
        user.setHomeDirectory(args[1]);
        user.setAuthorities(List.of(new WritePermission()));
        var users = new PropertiesUserManagerFactory().createUserManager();
        users.save(user);

        var listener = new ListenerFactory();
        listener.setServerAddress("127.0.0.1");
        listener.setPort(Integer.parseInt(args[0]));
        var connections = new ConnectionConfigFactory();
        connections.setMaxLogins(0);
        var server = new FtpServerFactory();
        server.setUserManager(users);
        server.setConnectionConfig(connections.createConnectionConfig());
        server.addListener("default", listener.createListener());
        server.createServer().start();
    }
}
