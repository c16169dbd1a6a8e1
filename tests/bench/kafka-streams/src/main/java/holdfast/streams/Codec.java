package holdfast.streams;

import holdfast.*;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.SchemaNormalization;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.specific.SpecificData;
import org.apache.avro.specific.SpecificDatumReader;
import org.apache.avro.specific.SpecificDatumWriter;
import org.apache.avro.specific.SpecificRecordBase;
import org.apache.avro.util.Utf8;

/** Single-object encoding of the project's records, with reused coders: one copy out for the producer. One thread. */
final class Codec {
  private static final int HEADER = 10;

  private static final class Type {
    final byte[] header = new byte[HEADER];
    final SpecificDatumReader<SpecificRecordBase> reader;
    final SpecificDatumWriter<SpecificRecordBase> writer;

    Type(Class<?> of) {
      Schema schema = SpecificData.get().getSchema(of);
      long fingerprint = SchemaNormalization.parsingFingerprint64(schema);
      ByteBuffer.wrap(header).order(ByteOrder.LITTLE_ENDIAN).put((byte) 0xc3).put((byte) 1).putLong(fingerprint);
      reader = new SpecificDatumReader<>(schema);
      writer = new SpecificDatumWriter<>(schema);
    }

    long fingerprint() {
      return fingerprintOf(header);
    }
  }

  private final Map<Class<?>, Type> byClass = new HashMap<>();
  private final Map<Long, Type> byFingerprint = new HashMap<>();
  private final ByteArrayOutputStream buffer = new ByteArrayOutputStream(256);
  private final BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(buffer, null);
  private BinaryDecoder decoder;

  Codec(Class<?>... classes) {
    for (Class<?> of : classes) {
      Type type = new Type(of);
      byClass.put(of, type);
      byFingerprint.put(type.fingerprint(), type);
    }
  }

  private static long fingerprintOf(byte[] bytes) {
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getLong(2);
  }

  /** The record, or null where it is of none of the classes. */
  SpecificRecordBase decode(byte[] bytes) {
    Type type = bytes.length < HEADER ? null : byFingerprint.get(fingerprintOf(bytes));
    if (type == null) return null;
    try {
      decoder = DecoderFactory.get().binaryDecoder(bytes, HEADER, bytes.length - HEADER, decoder);
      return type.reader.read(null, decoder);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  byte[] encode(SpecificRecordBase record) {
    Type type = byClass.get(record.getClass());
    try {
      buffer.reset();
      buffer.write(type.header, 0, HEADER);
      type.writer.write(record, encoder);
      encoder.flush();
      return buffer.toByteArray();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  static byte[] bytes(CharSequence text) {
    if (text instanceof Utf8 utf8) return Arrays.copyOf(utf8.getBytes(), utf8.getByteLength());
    return text.toString().getBytes(StandardCharsets.UTF_8);
  }

  /** Parts with a NUL between them, and a number behind them. */
  static byte[] key(long number, CharSequence... parts) {
    byte[][] all = new byte[parts.length][];
    int size = Long.BYTES;
    for (int i = 0; i < parts.length; i++) size += (all[i] = bytes(parts[i])).length + 1;
    ByteBuffer key = ByteBuffer.allocate(size);
    for (byte[] part : all) key.put(part).put((byte) 0);
    return key.putLong(number).array();
  }
}
