"""boto3, AWS' own client, against the lab's object storage. Ends with an exception where the two disagree."""

import hashlib
import os
import urllib.error
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

BUCKET = "strata-lab"


def storage(**other):
    # The lab has no names below its address, so the bucket is part of the path.
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    return boto3.client("s3", config=config, **other)


def refused(code, call):
    try:
        call()
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
    else:
        raise AssertionError(f"not refused with {code}")


def objects(client):
    body = bytes(range(256)) * 100
    made = client.put_object(Bucket=BUCKET, Key="a b/ü+1.age", Body=body, Metadata={"sha256": "x"})
    assert made["ETag"] == f'"{hashlib.md5(body).hexdigest()}"', made
    head = client.head_object(Bucket=BUCKET, Key="a b/ü+1.age")
    assert (head["ContentLength"], head["Metadata"]) == (len(body), {"sha256": "x"}), head
    assert client.get_object(Bucket=BUCKET, Key="a b/ü+1.age")["Body"].read() == body
    for number in range(5):
        client.put_object(Bucket=BUCKET, Key=f"many/{number}", Body=b"1", ContentMD5="xMpCOKC5I4INzFCab3WEmw==")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="many/", PaginationConfig={"PageSize": 2})
    keys = [entry["Key"] for page in pages for entry in page["Contents"]]
    assert keys == [f"many/{number}" for number in range(5)], keys
    assert client.list_objects_v2(Bucket=BUCKET, Prefix="none/")["KeyCount"] == 0
    client.delete_object(Bucket=BUCKET, Key="many/0")
    client.delete_object(Bucket=BUCKET, Key="many/0")
    refused("404", lambda: client.head_object(Bucket=BUCKET, Key="many/0"))
    refused("NoSuchKey", lambda: client.get_object(Bucket=BUCKET, Key="many/0"))


def buckets(client):
    client.create_bucket(Bucket="another", CreateBucketConfiguration={"LocationConstraint": "lab-1"})
    client.head_bucket(Bucket="another")
    refused("BucketAlreadyOwnedByYou", lambda: client.create_bucket(Bucket="another"))
    refused("NoSuchBucket", lambda: client.list_objects_v2(Bucket="missing"))


def refusals(client):
    wrong = "AAAAAAAAAAAAAAAAAAAAAA=="
    refused("BadDigest", lambda: client.put_object(Bucket=BUCKET, Key="never", Body=b"1", ContentMD5=wrong))
    refused("InvalidDigest", lambda: client.put_object(Bucket=BUCKET, Key="never", Body=b"1", ContentMD5="x"))
    refused("404", lambda: client.head_object(Bucket=BUCKET, Key="never"))
    refused("NotImplemented", lambda: client.create_multipart_upload(Bucket=BUCKET, Key="never"))
    secret = storage(aws_secret_access_key="wrong", aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"])
    refused("SignatureDoesNotMatch", lambda: secret.list_objects_v2(Bucket=BUCKET))
    nobody = storage(aws_secret_access_key="wrong", aws_access_key_id="NOBODY")
    refused("InvalidAccessKeyId", lambda: nobody.list_objects_v2(Bucket=BUCKET))
    elsewhere = storage(region_name="eu-west-3")
    refused("AuthorizationHeaderMalformed", lambda: elsewhere.list_objects_v2(Bucket=BUCKET))


def addresses(client):
    """A signed address works for whom it was made, as it was made."""
    url = client.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "signed", "ContentMD5": "xMpCOKC5I4INzFCab3WEmw=="}, ExpiresIn=60)

    def put(url, digest):
        request = urllib.request.Request(url, data=b"1", method="PUT", headers={"Content-MD5": digest, "Content-Type": ""})
        return urllib.request.urlopen(request).status

    assert put(url, "xMpCOKC5I4INzFCab3WEmw==") == 200
    for changed, digest in [(url.replace("signed", "sighed"), "xMpCOKC5I4INzFCab3WEmw=="), (url, "AAAAAAAAAAAAAAAAAAAAAA==")]:
        try:
            put(changed, digest)
        except urllib.error.HTTPError as error:
            assert error.code == 403 and b"SignatureDoesNotMatch" in error.read(), error
        else:
            raise AssertionError("a signature of something else was taken")
    assert client.get_object(Bucket=BUCKET, Key="signed")["Body"].read() == b"1"


def main():
    client = storage()
    buckets(client)
    objects(client)
    refusals(client)
    addresses(client)


main()
