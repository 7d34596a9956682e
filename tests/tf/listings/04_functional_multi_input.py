import rkeras.tf as tf
# 图像分支
image_input = tf.keras.Input(shape=(224, 224, 3), name='image')
x1 = tf.keras.layers.Conv2D(32, 3, activation='relu')(image_input)
x1 = tf.keras.layers.MaxPooling2D()(x1)
x1 = tf.keras.layers.Conv2D(64, 3, activation='relu')(x1)
x1 = tf.keras.layers.GlobalAveragePooling2D()(x1)
# 元数据分支
meta_input = tf.keras.Input(shape=(10,), name='metadata')
x2 = tf.keras.layers.Dense(32, activation='relu')(meta_input)
# 合并
concatenated = tf.keras.layers.concatenate([x1, x2])
x = tf.keras.layers.Dense(64, activation='relu')(concatenated)
outputs = tf.keras.layers.Dense(1, activation='sigmoid')(x)
model = tf.keras.Model(
    inputs=[image_input, meta_input],
    outputs=outputs
)
model.summary()
