import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.List;
import java.util.Set;

/** Verifies leaf certificates: Verify ROOT INTERMEDIATE LEAF... prints a line "ok" or "no: why" for each leaf. */
public class Verify {
    public static void main(String[] args) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(read(factory, args[0]), null)));
        parameters.setRevocationEnabled(false);
        X509Certificate intermediate = read(factory, args[1]);
        for (int i = 2; i < args.length; i++) {
            var path = factory.generateCertPath(List.of(read(factory, args[i]), intermediate));
            try {
                CertPathValidator.getInstance("PKIX").validate(path, parameters);
                System.out.println("ok");
            } catch (CertPathValidatorException | RuntimeException e) {
                // JDK 17 fails with an index out of bounds where it compares 0.0.0.0 with ::1.
                System.out.println("no: " + String.valueOf(e.getMessage()).replace('\n', ' '));
            }
        }
    }

    private static X509Certificate read(CertificateFactory factory, String file) throws Exception {
        try (InputStream in = Files.newInputStream(Path.of(file))) {
            return (X509Certificate) factory.generateCertificate(in);
        }
    }
}
