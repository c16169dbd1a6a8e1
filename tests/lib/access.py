"""Access to a secure broker, as scripts/kafka start --secure makes it: who one is, and the ACLs that let one in."""
import pathlib

from confluent_kafka.admin import AclBinding, AclBindingFilter, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

RESOURCES = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "transactional id": ResourceType.TRANSACTIONAL_ID}
OPERATIONS = {"All": AclOperation.ALL, "Read": AclOperation.READ, "Write": AclOperation.WRITE, "Create": AclOperation.CREATE,
              "Describe": AclOperation.DESCRIBE, "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS, "AlterConfigs": AclOperation.ALTER_CONFIGS}
PATTERNS = {"literal": ResourcePatternType.LITERAL, "prefixed": ResourcePatternType.PREFIXED}


def read_properties(path):
    """What librdkafka understands of a properties file."""
    pairs = (line.split("=", 1) for line in pathlib.Path(path).read_text().splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, value in pairs if name.strip() != "brokers"}


def binding(right, kind=AclBinding, permission=AclPermissionType.ALLOW):
    """Of a right as `holdfast acls list -o json` prints it."""
    return kind(RESOURCES[right["resource"]], right["name"], PATTERNS[right["pattern"]], right["principal"], "*", OPERATIONS[right["operation"]], permission)


def grant(admin, rights, permission=AclPermissionType.ALLOW):
    for made in admin.create_acls([binding(right, permission=permission) for right in rights]).values() if rights else ():
        made.result(30)


def revoke(admin, rights, permission=AclPermissionType.ALLOW):
    for right, gone in zip(rights, admin.delete_acls([binding(right, AclBindingFilter, permission) for right in rights]).values()):
        assert gone.result(30), "there was no ACL of %s" % right
