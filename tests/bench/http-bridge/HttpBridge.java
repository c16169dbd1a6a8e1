import io.vertx.core.AbstractVerticle;
import io.vertx.core.Context;
import io.vertx.core.DeploymentOptions;
import io.vertx.core.Vertx;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.HttpServerRequest;
import io.vertx.core.json.JsonObject;
import java.util.Base64;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The least that an HTTP bridge to Kafka does: POST {"records":[{"key":BASE64,"value":BASE64}]} puts the record into the topic, and is answered with its place
 * once the broker has acknowledged it. One producer for all, two event loops. No routes, no check of the content, no tokens, no limits, no traces.
 *
 * <p>Usage: HttpBridge BROKERS TOPIC PORT [PROPERTY=VALUE]...
 */
public class HttpBridge {
  private static void take(KafkaProducer<byte[], byte[]> producer, String topic, Context context, HttpServerRequest request, Buffer body) {
    JsonObject record = body.toJsonObject().getJsonArray("records").getJsonObject(0);
    byte[] key = Base64.getDecoder().decode(record.getString("key"));
    byte[] value = Base64.getDecoder().decode(record.getString("value"));
    producer.send(new ProducerRecord<>(topic, key, value), (place, failure) -> context.runOnContext(nothing -> {
      if (failure != null) {
        request.response().setStatusCode(503).end(failure.getMessage());
      } else {
        request.response().putHeader("Content-Type", "application/json").end("{\"offsets\":[{\"partition\":" + place.partition() + ",\"offset\":" + place.offset() + "}]}");
      }
    }));
  }

  public static void main(String[] arguments) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", arguments[0]);
    for (int i = 3; i < arguments.length; i++) settings.put(arguments[i].split("=")[0], arguments[i].split("=")[1]);
    KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    Vertx.vertx().deployVerticle(() -> new AbstractVerticle() {
      @Override
      public void start() {
        vertx.createHttpServer().requestHandler(request -> request.bodyHandler(body -> take(producer, arguments[1], context, request, body)))
            .listen(Integer.parseInt(arguments[2]), "127.0.0.1");
      }
    }, new DeploymentOptions().setInstances(2));
  }
}
